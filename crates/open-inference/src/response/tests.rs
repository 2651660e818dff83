use super::*;

fn outputs() -> [Tensor; 2] {
    [
        Tensor { name: "a".to_owned(), shape: vec![1, 2], data: vec![0.1, -2.0] },
        Tensor { name: "b".to_owned(), shape: vec![1], data: vec![1.0] },
    ]
}

fn encode(outputs: &[Tensor], binary: &[&str]) -> Result<Encoded, Fault> {
    let response = Response { id: Some("7"), model_name: "m", model_version: "1", outputs };
    response.encode(|name| binary.contains(&name))
}

#[test]
fn json_is_as_the_protocol_writes_it() {
    let encoded = encode(&outputs(), &[]).unwrap();
    assert_eq!(encoded.json_length, None);
    assert_eq!(
        String::from_utf8(encoded.body).unwrap(),
        r#"{"id":"7","model_name":"m","model_version":"1","outputs":[{"name":"a","datatype":"FP32","shape":[1,2],"data":[0.1,-2.0]},{"name":"b","datatype":"FP32","shape":[1],"data":[1.0]}]}"#
    );
}

#[test]
fn binary_outputs_follow_the_json_in_their_order() {
    let encoded = encode(&outputs(), &["a", "b"]).unwrap();
    let (json, tensors) = encoded.body.split_at(encoded.json_length.unwrap());
    assert_eq!(
        std::str::from_utf8(json).unwrap(),
        r#"{"id":"7","model_name":"m","model_version":"1","outputs":[{"name":"a","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"b","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}"#
    );
    // IEEE 754, little-endian: 0.1, -2.0, 1.0.
    assert_eq!(tensors, [0xcd, 0xcc, 0xcc, 0x3d, 0, 0, 0, 0xc0, 0, 0, 0x80, 0x3f]);
}

#[test]
fn one_output_may_be_binary_and_another_not() {
    let encoded = encode(&outputs(), &["b"]).unwrap();
    let (json, tensors) = encoded.body.split_at(encoded.json_length.unwrap());
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["outputs"][0]["data"], serde_json::json!([0.1, -2.0]));
    assert_eq!(json["outputs"][1]["parameters"]["binary_data_size"], 4);
    assert!(json["outputs"][1].get("data").is_none());
    assert_eq!(tensors, 1_f32.to_le_bytes());
}

#[test]
fn what_json_cannot_say_is_said_in_binary_only() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let outputs = [Tensor { name: "a".to_owned(), shape: vec![1], data: vec![value] }];
        assert!(encode(&outputs, &[]).unwrap_err().to_string().contains("the output a"));
        assert!(encode(&outputs, &["a"]).unwrap().body.ends_with(&value.to_le_bytes()));
    }
}

#[test]
fn what_it_prints_holds_no_values() {
    let text = format!("{:?} {:?}", outputs(), encode(&outputs(), &[]).unwrap());
    assert!(!text.contains("0.1") && !text.contains("-2"), "{text}");
}
