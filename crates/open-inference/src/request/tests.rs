use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Response;

fn parse(body: &Value) -> Result<Request, Fault> {
    Request::parse(body.to_string().as_bytes(), None)
}

fn input(name: &str, shape: &Value, data: &Value) -> Value {
    json!({ "name": name, "shape": shape, "datatype": "FP32", "data": data })
}

fn fault(body: &Value) -> String {
    parse(body).unwrap_err().to_string()
}

fn binary(inputs: &Value, tensors: &[u8]) -> (Vec<u8>, Option<usize>) {
    let json = json!({ "inputs": inputs }).to_string().into_bytes();
    let length = json.len();
    ([&json, tensors].concat(), Some(length))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn flat_and_nested_data_are_the_same_tensor() {
    for data in [json!([1, 2.5, -3, 4, 5, 6e-3]), json!([[1, 2.5, -3], [4, 5, 0.006]])] {
        let request = parse(&json!({ "inputs": [input("x", &json!([2, 3]), &data)] })).unwrap();
        let [x] = &request.inputs[..] else { panic!("{:?}", request.inputs) };
        assert_eq!((x.name.as_str(), &x.shape[..]), ("x", &[2, 3][..]));
        assert_eq!(x.data, [1.0, 2.5, -3.0, 4.0, 5.0, 0.006]);
    }
}

#[test]
fn the_members_of_a_request_may_stand_in_any_order() {
    let body = br#"{"outputs":[{"parameters":{"binary_data":true},"name":"b"},{"name":"a"}],
        "inputs":[{"data":[1],"datatype":"FP32","parameters":{},"shape":[1],"name":"x"}],
        "parameters":{"priority":3,"timeout":1500,"binary_data_output":false,"own":"word"},"unknown":[{}],"id":"42"}"#;
    let request = Request::parse(body, None).unwrap();
    assert_eq!(request.id.as_deref(), Some("42"));
    assert_eq!((request.priority, request.timeout), (Some(3), Some(Duration::from_micros(1500))));
    let names: Vec<_> =
        request.outputs.iter().map(|output| (output.name.as_str(), output.is_binary)).collect();
    assert_eq!(names, [("b", true), ("a", false)]);
    assert!(request.wants_binary("b") && !request.wants_binary("a"));
}

#[test]
fn an_output_overrides_what_the_request_says_of_all() {
    let mut body = json!({ "inputs": [], "parameters": { "binary_data_output": true },
        "outputs": [{ "name": "a" }, { "name": "b", "parameters": { "binary_data": false } }] });
    let request = parse(&body).unwrap();
    assert!(request.wants_binary("a") && !request.wants_binary("b"));
    body["outputs"] = json!([]);
    assert!(parse(&body).unwrap().wants_binary("whatever"));
}

#[test]
fn binary_inputs_are_taken_in_their_order() {
    let inputs = json!([
        { "name": "a", "shape": [1, 2], "datatype": "FP32", "parameters": { "binary_data_size": 8 } },
        input("b", &json!([1]), &json!([9])),
        { "name": "c", "shape": [1], "datatype": "FP32", "parameters": { "binary_data_size": 4 } },
    ]);
    let (body, length) = binary(&inputs, &bytes(&[0.5, -1.0, 7.25]));
    let request = Request::parse(&body, length).unwrap();
    let data: Vec<&[f32]> = request.inputs.iter().map(|input| &input.data[..]).collect();
    assert_eq!(data, [&[0.5, -1.0][..], &[9.0], &[7.25]]);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let a = |size: i64| json!([{ "name": "a", "shape": [2], "datatype": "FP32", "parameters": { "binary_data_size": size } }]);
    for (inputs, tensors, words) in [
        (a(8), 7, "the body ends within the input a"),
        (a(8), 9, "1 bytes follow the last input"),
        (a(4), 8, "a binary_data_size of 4, but its shape takes 8 bytes"),
        (a(i64::MAX), 8, "but its shape takes 8 bytes"),
        (a(-8), 8, "cannot be read"),
    ] {
        let (body, length) = binary(&inputs, &vec![0; tensors]);
        let fault = Request::parse(&body, length).unwrap_err().to_string();
        assert!(fault.contains(words), "{fault}");
    }
    // Two inputs that would share their bytes.
    let two = json!([a(8)[0], a(8)[0]]);
    let (body, length) = binary(&two, &[0; 8]);
    assert!(Request::parse(&body, length).unwrap_err().to_string().contains("the body ends"));
    let fault = Request::parse(b"{}", Some(3)).unwrap_err().to_string();
    assert!(fault.contains("larger than the body"), "{fault}");
}

#[test]
fn shapes_that_data_does_not_have_are_refused() {
    for (shape, data, words) in [
        (json!([2]), json!([1]), "data of the shape [1], not [2]"),
        (json!([1]), json!([]), "data of the shape [0], not [1]"),
        (json!([3, 2]), json!([[1, 2, 3], [4, 5, 6]]), "data of the shape [2, 3], not [3, 2]"),
        (json!([6]), json!([[1, 2, 3], [4, 5, 6]]), "data of the shape [2, 3], not [6]"),
        (json!([-1]), json!([1]), "a length below 0"),
        (json!([1.5]), json!([1]), "cannot be read"),
        (json!([i64::MAX, i64::MAX]), json!([1]), "too large"),
        (json!([1_u64 << 62]), json!([1]), "too large"),
        (json!([1, 1, 1, 1, 1, 1, 1, 1, 1]), json!([1]), "8 dimensions"),
        (json!([2, 2]), json!([[1, 2], [3]]), "different lengths"),
        (json!([2]), json!([1, [2]]), "mixed"),
        (json!([2]), json!([[1], 2]), "mixed"),
        (json!([2]), json!([[], 2]), "mixed"),
        (json!([1]), json!([[[[[[[[[1]]]]]]]]]), "more than 8 deep"),
        (json!([1]), json!(1), "not an array"),
        (json!([1]), json!(["1"]), "expected numbers"),
        (json!([1]), json!([true]), "expected numbers"),
        (json!([1]), json!([null]), "expected numbers"),
        (json!([1]), json!([1e39]), "FP32 cannot"),
    ] {
        let fault = fault(&json!({ "inputs": [input("x", &shape, &data)] }));
        assert!(fault.contains(words), "{shape} {data}: {fault}");
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "0x1", "01", "+1", "1.", ".5", "1,"] {
        let body =
            format!(r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"FP32","data":[{number}]}}]}}"#);
        assert!(Request::parse(body.as_bytes(), None).is_err(), "{number}");
    }
}

#[test]
fn what_is_not_done_here_is_said() {
    let x = || input("x", &json!([1]), &json!([1]));
    let with = |key: &str, value: Value| {
        let mut x = x();
        x[key] = value;
        json!({ "inputs": [x] })
    };
    let output =
        |parameters: Value| json!({ "inputs": [], "outputs": [{ "name": "y", "parameters": parameters }] });
    for (body, words) in [
        (with("datatype", json!("INT64")), "the input x is not of the datatype FP32"),
        (with("datatype", json!("fp32")), "the input x is not of the datatype FP32"),
        (with("parameters", json!({ "shared_memory_region": "r" })), "shared memory"),
        (with("parameters", json!({ "binary_data_size": 4 })), "both data and binary_data_size"),
        (with("data", Value::Null), "neither data nor binary_data_size"),
        (output(json!({ "classification": 2 })), "classification"),
        (output(json!({ "shared_memory_region": "r" })), "shared memory"),
        (json!({ "inputs": [], "id": "i".repeat(257) }), "an id has at most 256 bytes"),
        (with("name", json!("n".repeat(257))), "a name has at most 256 bytes"),
        (with("name", json!("a\nb")), "no control characters"),
        (json!({ "inputs": vec![x(); 65] }), "at most 64 inputs"),
        (json!({ "inputs": [x()], "outputs": vec![json!({ "name": "y" }); 65] }), "64 outputs"),
        (json!({}), "missing field `inputs`"),
        (json!([null, {}, []]), "expected an object"),
        (json!({ "inputs": [["x", [1], "FP32", {}, [1]]] }), "expected an object"),
    ] {
        let fault = fault(&body);
        assert!(fault.contains(words), "{words}: {fault}");
    }
    let doubled = br#"{"inputs":[],"inputs":[]}"#;
    assert!(Request::parse(doubled, None).unwrap_err().to_string().contains("duplicate field `inputs`"));
    assert!(Request::parse(b"{\"inputs\":[]} x", None).is_err(), "something follows");
}

#[test]
fn a_fault_does_not_repeat_values() {
    let body = json!({ "inputs": [{ "name": "x", "shape": [1], "datatype": "FP32", "data": ["7613, expected 7613"] }] });
    assert!(!fault(&body).contains("7613"), "{}", fault(&body));
    let body = json!({ "inputs": [{ "name": "x", "shape": 7613.5, "datatype": "FP32", "data": [1] }] });
    assert!(!fault(&body).contains("7613"), "{}", fault(&body));
}

#[test]
fn a_raw_body_is_the_one_tensor() {
    let body = bytes(&[1.0, 2.0, 3.0, 4.0]);
    let request = Request::raw(&body, "x", &[None, Some(2)]).unwrap();
    assert_eq!(
        request.inputs,
        [Tensor { name: "x".to_owned(), shape: vec![2, 2], data: vec![1.0, 2.0, 3.0, 4.0] }]
    );
    assert!(request.wants_binary("whatever"));
    assert_eq!(Request::raw(&body, "x", &[Some(4)]).unwrap().inputs[0].shape, [4]);
    let shapes: [&[Option<usize>]; 5] =
        [&[None, Some(3)], &[None, None], &[Some(3)], &[None, Some(0)], &[None, Some(usize::MAX), Some(2)]];
    for shape in shapes {
        assert!(Request::raw(&body, "x", shape).is_err(), "{shape:?}");
    }
    assert!(Request::raw(&body[1..], "x", &[None]).is_err());
}

fn tensors() -> impl Strategy<Value = Vec<Tensor>> {
    let finite = any::<f32>().prop_filter("finite", |value| value.is_finite());
    let tensor =
        (prop::collection::vec(0_usize..4, 1..4), "[a-z]{1,8}").prop_flat_map(move |(shape, name)| {
            let data = prop::collection::vec(finite.clone(), volume(&shape).unwrap());
            data.prop_map(move |data| Tensor { name: name.clone(), shape: shape.clone(), data })
        });
    prop::collection::vec(tensor, 0..4)
}

/// A request as another program would write it: nested arrays by the shape, numbers as shortest decimals of 64-bit floats.
fn written(tensors: &[Tensor], is_binary: bool) -> (Vec<u8>, Option<usize>) {
    fn nested(shape: &[usize], data: &[f32]) -> Value {
        match shape {
            [] => json!(f64::from(data[0])),
            [length, inner @ ..] => {
                let step = volume(inner).unwrap();
                (0..*length).map(|at| nested(inner, &data[at * step..(at + 1) * step])).collect()
            }
        }
    }
    let mut tail = Vec::new();
    let inputs = tensors.iter().map(|Tensor { name, shape, data }| {
        let mut input = json!({ "name": name, "shape": shape, "datatype": "FP32" });
        if is_binary {
            tail.extend(bytes(data));
            input["parameters"] = json!({ "binary_data_size": 4 * data.len() });
        } else if data.is_empty() {
            // How deep an empty array is does not say what shape it is of.
            input["data"] = json!([]);
        } else {
            input["data"] = nested(shape, data);
        }
        input
    });
    let json = json!({ "inputs": inputs.collect::<Vec<_>>() }).to_string().into_bytes();
    let length = is_binary.then_some(json.len());
    ([json, tail].concat(), length)
}

proptest! {
    #[test]
    fn what_was_written_is_read(tensors in tensors(), is_binary: bool) {
        let (body, length) = written(&tensors, is_binary);
        let request = Request::parse(&body, length).unwrap();
        // Bit by bit: -0 is another number than 0.
        let bits = |tensors: &[Tensor]| -> Vec<_> {
            tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), bytes(&t.data))).collect()
        };
        prop_assert_eq!(bits(&request.inputs), bits(&tensors));
    }

    #[test]
    fn an_answer_reads_like_a_request(tensors in tensors(), is_binary: bool) {
        let response = Response { id: None, model_name: "m", model_version: "1", outputs: &tensors };
        let encoded = response.encode(|_| is_binary).unwrap();
        let split = encoded.json_length.unwrap_or(encoded.body.len());
        let mut json: Value = serde_json::from_slice(&encoded.body[..split]).unwrap();
        json["inputs"] = json["outputs"].take();
        json["outputs"] = json!([]);
        let json = json.to_string().into_bytes();
        let length = json.len();
        let body = [json, encoded.body[split..].to_vec()].concat();
        prop_assert_eq!(Request::parse(&body, Some(length)).unwrap().inputs, tensors);
    }

    #[test]
    fn a_body_that_was_cut_is_refused(tensors in tensors(), is_binary: bool, at: prop::sample::Index) {
        let (body, length) = written(&tensors, is_binary);
        let at = at.index(body.len());
        // A binary body of no values may end with its JSON.
        prop_assert!(Request::parse(&body[..at], length).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, length: Option<usize>) {
        drop(Request::parse(&body, length));
        drop(Request::parse(&body, length.map(|length| length % (body.len() + 1))));
        drop(Request::raw(&body, "x", &[None, length]));
    }

    #[test]
    fn no_json_makes_it_panic(data in "[\\[\\]0-9,.eE{}\"+-]{0,64}", shape: Vec<i64>, size: i64) {
        let body = format!(
            r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{shape:?},"parameters":{{"binary_data_size":{size}}},"data":{data}}}]}}"#
        );
        drop(Request::parse(body.as_bytes(), None));
        drop(Request::parse(body.replace("\"binary_data_size\"", "\"other\"").as_bytes(), None));
    }
}

#[test]
fn an_array_that_is_too_long_is_not_read_to_its_end() {
    // What follows the first element too many is no JSON: it would be another error if it were read.
    for (before, element, max) in [
        (r#"{"inputs":["#, r#"{"name":"x","datatype":"FP32","shape":[1],"data":[1]}"#.to_owned(), 64),
        (r#"{"inputs":[],"outputs":["#, r#"{"name":"y"}"#.to_owned(), 64),
    ] {
        let body = format!("{before}{},*", vec![element; max + 1].join(","));
        let fault = Request::parse(body.as_bytes(), None).unwrap_err().to_string();
        assert!(fault.contains("at most 64 inputs"), "{fault}");
    }
    let body = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1,1,1,1,1,1,1,1,*"#;
    let fault = Request::parse(body.as_bytes(), None).unwrap_err().to_string();
    assert!(fault.contains("8 dimensions"), "{fault}");
}
