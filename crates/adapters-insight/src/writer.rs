//! What all language models have in common: nothing that they wrote counts before its schema and every number were checked.

use std::time::Duration;

use async_trait::async_trait;
use ports::{InsightFacts, InsightWriter, Listener, Narrative, Result, Usage};
use tokio::time::Instant;

use crate::{answer::Answer, fault::Fault, grounding, prompt, sentences::Sentences, template};

/// How long calls to a language model may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call may take, retries included.
    pub timeout: Duration,
    /// How often a refused call is repeated.
    pub retries_max: u32,
}

impl Limits {
    pub(crate) fn check(self) -> Result<(), Fault> {
        if self.timeout.is_zero() || self.connect_timeout.is_zero() {
            return Err(Fault::Settings("a timeout is zero: give both some time"));
        }
        Ok(())
    }
}

/// What the provider charges, in US dollars for a million tokens. It is the operator's figure: no provider tells it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Price {
    /// For tokens read.
    pub input: f64,
    /// For tokens written.
    pub output: f64,
}

impl Price {
    fn of(self, usage: Usage) -> f64 {
        (usage.input_tokens as f64 * self.input + usage.output_tokens as f64 * self.output) / 1e6
    }
}

/// A language model behind somebody's API.
#[async_trait]
pub(crate) trait LanguageModel: Send + Sync + 'static {
    /// What its errors are named by.
    const OPERATION: &'static str;

    fn provider(&self) -> &'static str;

    fn name(&self) -> &str;

    /// Asks until there is an answer, an error that stays, or no time left, and hands on the answer's JSON as it comes, and in
    /// `completion` what comes with it. Nothing is asked again once a part of an answer was handed on.
    async fn complete(
        &self,
        facts: &InsightFacts,
        deadline: Instant,
        take: &mut Listener<'_>,
        completion: &mut Completion,
    ) -> Result<(), Fault>;
}

/// What came with an answer.
#[derive(Default)]
pub(crate) struct Completion {
    pub(crate) usage: Option<Usage>,
    /// The version that answered, where it says so.
    pub(crate) model: Option<String>,
}

/// Has a language model write the narrative.
pub(crate) struct LanguageModelWriter<M> {
    pub(crate) model: M,
    pub(crate) timeout: Duration,
    pub(crate) price: Option<Price>,
}

impl<M: LanguageModel> LanguageModelWriter<M> {
    async fn narrate(&self, facts: &InsightFacts, hear: &mut Listener<'_>) -> Result<Narrative, Fault> {
        if !prompt::is_english(&facts.language) {
            return Err(Fault::Language);
        }
        let deadline = Instant::now() + self.timeout;
        let mut sentences = Sentences::new(facts, hear);
        let mut spent = Spent { writer: self, completion: Completion::default() };
        let completed = {
            let mut take = |part: &str| sentences.take(part);
            let asked = self.model.complete(facts, deadline, &mut take, &mut spent.completion);
            tokio::time::timeout_at(deadline, asked).await
        };
        let Ok(completed) = completed else { return Err(Fault::Deadline) };
        completed?;
        let (usage, model) = (spent.usage(), spent.completion.model.take());
        let answer = Answer::read(sentences.json(), facts.include_recommendations)?;
        let narrative = Narrative {
            narrative: answer.narrative,
            key_insights: answer.key_insights,
            recommendations: answer.recommendations,
            provider: self.model.provider().to_owned(),
            model: Some(model.unwrap_or_else(|| self.model.name().to_owned())),
            method: "language model over derived facts; every number checked against them".to_owned(),
            usage,
        };
        grounding::check(&narrative, facts)?;
        sentences.finish(&narrative.narrative);
        Ok(narrative)
    }
}

/// What a call took. It is counted when the call is over, however it ends: it is paid for all the same.
struct Spent<'a, M: LanguageModel> {
    writer: &'a LanguageModelWriter<M>,
    completion: Completion,
}

impl<M: LanguageModel> Spent<'_, M> {
    fn usage(&self) -> Option<Usage> {
        let usage = self.completion.usage?;
        Some(Usage { cost_usd: self.writer.price.map(|price| price.of(usage)), ..usage })
    }
}

impl<M: LanguageModel> Drop for Spent<'_, M> {
    fn drop(&mut self) {
        let Some(usage) = self.usage() else { return };
        let model = &self.writer.model;
        let labels = [("provider", model.provider().to_owned()), ("model", model.name().to_owned())];
        for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            let labels = [&labels[..], &[("direction", direction.to_owned())]].concat();
            metrics::counter!("insight_tokens_total", &labels).increment(tokens);
        }
        if let Some(cost) = usage.cost_usd {
            metrics::gauge!("insight_cost_usd", &labels).increment(cost);
        }
    }
}

#[async_trait]
impl<M: LanguageModel> InsightWriter for LanguageModelWriter<M> {
    async fn write(&self, facts: &InsightFacts, hear: &mut Listener<'_>) -> Result<Narrative> {
        if facts.facts.iter().all(|fact| grounding::spoken(fact).is_none()) {
            // There is nothing to write about, so there is nothing to send.
            return template::TemplateWriter.write(facts, hear).await;
        }
        let started = Instant::now();
        let written = self.narrate(facts, hear).await;
        let outcome = written.as_ref().err().map_or("ok", Fault::outcome);
        metrics::histogram!("insight_seconds", "provider" => self.model.provider(), "outcome" => outcome)
            .record(started.elapsed());
        written.map_err(|fault| fault.at(M::OPERATION))
    }

    fn provider(&self) -> &str {
        self.model.provider()
    }

    fn model(&self) -> Option<&str> {
        Some(self.model.name())
    }
}
