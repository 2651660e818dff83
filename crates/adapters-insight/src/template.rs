use async_trait::async_trait;
use ports::{Fact, InsightFacts, InsightWriter, Listener, Narrative, Result};

use crate::grounding::spoken;

/// Fills a fixed English template. The same facts give the same text, and nothing leaves the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateWriter;

#[async_trait]
impl InsightWriter for TemplateWriter {
    async fn write(&self, facts: &InsightFacts, hear: &mut Listener<'_>) -> Result<Narrative> {
        let narrative = fill(facts);
        hear(&narrative.narrative);
        Ok(narrative)
    }

    fn provider(&self) -> &'static str {
        "template"
    }

    fn model(&self) -> Option<&str> {
        None
    }
}

fn fill(facts: &InsightFacts) -> Narrative {
    let key_insights: Vec<String> = facts.facts.iter().filter_map(sentence).collect();
    let valueless = facts.facts.iter().filter(|fact| spoken(fact).is_none()).map(|fact| fact.label.as_str());
    let missing: Vec<&str> = facts.not_assessed.iter().map(String::as_str).chain(valueless).collect();
    let mut paragraphs =
        vec!["This text was filled in from a fixed template; no language model wrote it.".to_owned()];
    paragraphs.push(if key_insights.is_empty() {
        "Nothing could be assessed from the data at hand.".to_owned()
    } else {
        key_insights.join(" ")
    });
    if !missing.is_empty() {
        paragraphs.push(format!("Not assessed: {}.", missing.join("; ")));
    }
    let recommendations = if facts.include_recommendations && !key_insights.is_empty() {
        vec![
            "Compare these figures with your own over time, and take questions about them to a clinician: \
             they are information, not a diagnosis."
                .to_owned(),
        ]
    } else {
        Vec::new()
    };
    Narrative {
        narrative: paragraphs.join("\n\n"),
        key_insights,
        recommendations,
        provider: "template".to_owned(),
        model: None,
        method: "fixed template, no language model".to_owned(),
        usage: None,
    }
}

/// One fact as a sentence; `None` if it has no finite value.
fn sentence(fact: &Fact) -> Option<String> {
    let figure = spoken(fact)?;
    let mut label = fact.label.clone();
    if let Some(first) = label.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let notes: Vec<&str> =
        [fact.coverage.as_str(), fact.method.as_str()].into_iter().filter(|note| !note.is_empty()).collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    Some(format!("{label}: {figure}{}{notes}.", unit(&fact.unit)))
}

/// A UCUM unit as people read it, with the space before it.
fn unit(ucum: &str) -> String {
    match ucum {
        "" | "1" => String::new(),
        "%" => "%".to_owned(),
        "h" => " hours".to_owned(),
        "min" => " minutes".to_owned(),
        "d" => " days".to_owned(),
        "Cel" => " °C".to_owned(),
        "/min" | "1/min" => " per minute".to_owned(),
        "/h" | "1/h" => " per hour".to_owned(),
        "/d" | "1/d" => " per day".to_owned(),
        // An annotation such as "{steps}/d" is already words.
        other => format!(" {}", other.replace(['{', '}'], "")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::grounding;

    fn sleep() -> Fact {
        Fact {
            name: "sleep.total_sleep_time.mean".into(),
            label: "mean total sleep time".into(),
            value: 7.25,
            unit: "h".into(),
            decimals: 1,
            method: "union of asleep stages".into(),
            coverage: "13 of 14 nights".into(),
        }
    }

    fn facts(facts: Vec<Fact>, not_assessed: Vec<String>) -> InsightFacts {
        InsightFacts { facts, not_assessed, language: "en".into(), include_recommendations: true }
    }

    #[tokio::test]
    async fn the_text_says_that_it_is_a_template_and_what_was_not_assessed() {
        let facts = facts(vec![sleep()], vec!["PAT: no model is loaded".into()]);
        let written = TemplateWriter.write(&facts, &mut |_| ()).await.unwrap();
        assert_eq!(
            written.narrative,
            "This text was filled in from a fixed template; no language model wrote it.\n\n\
             Mean total sleep time: 7.2 hours (13 of 14 nights; union of asleep stages).\n\n\
             Not assessed: PAT: no model is loaded."
        );
        assert_eq!(written.key_insights.len(), 1);
        assert_eq!((written.provider.as_str(), written.model, written.usage), ("template", None, None));
        assert_eq!(TemplateWriter.provider(), "template");
    }

    #[tokio::test]
    async fn no_facts_give_a_text_that_says_so_and_no_recommendation() {
        let written =
            TemplateWriter.write(&facts(vec![], vec!["sleep: no nights".into()]), &mut |_| ()).await.unwrap();
        assert!(written.narrative.contains("Nothing could be assessed"));
        assert!(written.narrative.contains("Not assessed: sleep: no nights."));
        assert!(written.key_insights.is_empty() && written.recommendations.is_empty());
    }

    #[tokio::test]
    async fn recommendations_are_given_only_where_they_are_wanted() {
        let mut facts = facts(vec![sleep()], vec![]);
        assert!(!TemplateWriter.write(&facts, &mut |_| ()).await.unwrap().recommendations.is_empty());
        facts.include_recommendations = false;
        assert!(TemplateWriter.write(&facts, &mut |_| ()).await.unwrap().recommendations.is_empty());
    }

    #[tokio::test]
    async fn a_fact_without_a_finite_value_is_not_assessed() {
        let written = TemplateWriter
            .write(&facts(vec![Fact { value: f64::NAN, ..sleep() }], vec![]), &mut |_| ())
            .await
            .unwrap();
        assert!(written.narrative.contains("Not assessed: mean total sleep time."));
        assert!(!written.narrative.contains("NaN") && written.key_insights.is_empty());
    }

    fn words() -> impl Strategy<Value = String> {
        "[A-Za-z][A-Za-z0-9 ,.%:()-]{0,30}"
    }

    fn any_fact() -> impl Strategy<Value = Fact> {
        let value = prop_oneof![any::<f64>(), -1e6..1e6_f64, (0..2_000).prop_map(f64::from), 0.0..1.0];
        let units: &[&str] = &[
            "",
            "1",
            "h",
            "min",
            "%",
            "ms",
            "/min",
            "1/min",
            "{steps}/d",
            "kcal",
            "Cel",
            "cm[H2O]",
            "10*9/L",
        ];
        (words(), value, prop::sample::select(units), 0..6_u8, words(), words()).prop_map(
            |(label, value, unit, decimals, method, coverage)| Fact {
                name: "any".into(),
                label,
                value,
                unit: unit.into(),
                decimals,
                method,
                coverage,
            },
        )
    }

    proptest! {
        #[test]
        fn every_number_of_the_template_is_among_the_facts(
            given in prop::collection::vec(any_fact(), 0..6),
            not_assessed in prop::collection::vec(words(), 0..4),
        ) {
            let facts = facts(given, not_assessed);
            let written = fill(&facts);
            prop_assert_eq!(grounding::check(&written, &facts), Ok(()));
            for fact in facts.facts.iter().filter(|fact| fact.value.is_finite()) {
                prop_assert!(written.narrative.contains(&spoken(fact).unwrap()));
            }
            prop_assert_eq!(fill(&facts), written);
        }

        #[test]
        fn a_number_put_into_the_text_is_found(extra in 0.0..1e9_f64, decimals in 0..6_usize) {
            let facts = facts(vec![sleep()], vec![]);
            let extra = format!("{extra:.decimals$}");
            prop_assume!(!["7.2", "7.25", "13", "14"].contains(&extra.as_str()));
            let mut written = fill(&facts);
            written.key_insights.push(format!("Also {extra} of something."));
            prop_assert!(grounding::check(&written, &facts).is_err());
        }
    }
}
