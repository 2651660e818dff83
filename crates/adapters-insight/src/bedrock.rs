//! Has a model on Amazon Bedrock write the narrative, by the Converse API.
//!
//! The answer's schema is the input of a tool that the model must use, so the model has to know tools and a forced choice of one
//! (Anthropic Claude, Amazon Nova and Mistral Large do).

use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_bedrockruntime::{
    Client,
    config::Credentials,
    error::SdkError,
    types::{
        ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, InferenceConfiguration,
        Message, SpecificToolChoice, StopReason, SystemContentBlock, Tool, ToolChoice, ToolConfiguration,
        ToolInputSchema, ToolSpecification,
    },
};
use aws_smithy_types::{Document, Number};
use ports::{Cause, Error, ErrorKind, InsightFacts, InsightWriter, Listener, Result, Usage};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::{
    address::{address, check_covered},
    fault::{ANSWER_BYTES_MAX, Fault, code},
    prompt,
    writer::{Completion, LanguageModel, LanguageModelWriter, Limits, Price},
};

/// The tool whose input is the answer.
const TOOL: &str = "write_insight";

/// How to reach a model on Amazon Bedrock.
#[derive(Clone, Debug)]
pub struct BedrockSettings {
    /// The region.
    pub region: String,
    /// The id of a model or an inference profile, such as `eu.anthropic.claude-sonnet-4-5-20250929-v1:0`, or its ARN.
    pub model: String,
    /// Instead of the region's own address, as for a VPC endpoint or a partition other than `aws`.
    pub endpoint: Option<String>,
    /// Key id and secret, for tests; otherwise the SDK's own chain finds credentials.
    pub access_key: Option<(String, String)>,
    /// Whether an agreement that allows health data (a BAA or its like) covers this account. Without it nothing is sent.
    pub covered: bool,
    /// How long and how often.
    pub limits: Limits,
}

struct Bedrock {
    client: Client,
    model: String,
}

impl BedrockSettings {
    /// Checks the settings and prepares a client; nothing is sent.
    pub async fn writer(self, price: Option<Price>) -> Result<impl InsightWriter> {
        let invalid =
            |fault: Fault| Error::new(ErrorKind::InvalidInput, "insight.bedrock.configure").with_cause(fault);
        let url = self.check().and_then(|()| self.url()).map_err(invalid)?;
        let timeout = self.limits.timeout;
        Ok(LanguageModelWriter { model: Bedrock::new(self, &url).await, timeout, price })
    }

    fn check(&self) -> Result<(), Fault> {
        check_covered(self.covered)?;
        if self.model.trim().is_empty() || self.region.trim().is_empty() {
            return Err(Fault::Settings("model and region must be named"));
        }
        self.limits.check()
    }

    /// The address, always given to the SDK: otherwise the environment and profiles could name another that nobody called
    /// covered.
    fn url(&self) -> Result<Url, Fault> {
        let own = format!("https://bedrock-runtime.{}.amazonaws.com", self.region);
        address(self.endpoint.as_deref().unwrap_or(&own))
    }
}

impl Bedrock {
    async fn new(settings: BedrockSettings, url: &Url) -> Self {
        let Limits { connect_timeout, timeout, retries_max } = settings.limits;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect_timeout)
            .read_timeout(timeout)
            .operation_timeout(timeout)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(retries_max.saturating_add(1))
            .with_initial_backoff(Duration::from_millis(500));
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(settings.region))
            .endpoint_url(url.as_str())
            .timeout_config(timeouts)
            .retry_config(retries);
        if let Some((id, secret)) = settings.access_key {
            config = config.credentials_provider(Credentials::new(id, secret, None, None, "settings"));
        }
        Self { client: Client::new(&config.load().await), model: settings.model }
    }
}

#[async_trait]
impl LanguageModel for Bedrock {
    const OPERATION: &'static str = "insight.bedrock.write";

    fn provider(&self) -> &'static str {
        "amazon-bedrock"
    }

    fn name(&self) -> &str {
        &self.model
    }

    async fn complete(
        &self,
        facts: &InsightFacts,
        _: Instant,
        take: &mut Listener<'_>,
        completion: &mut Completion,
    ) -> Result<(), Fault> {
        let (message, tools) = request(facts).map_err(|error| Fault::Transport(error.into()))?;
        let inference =
            InferenceConfiguration::builder().temperature(0.0).max_tokens(OUTPUT_TOKENS_MAX).build();
        let asked = self.client.converse_stream().model_id(&self.model).messages(message);
        let asked = asked.system(SystemContentBlock::Text(prompt::INSTRUCTION.to_owned()));
        let answered = asked.inference_config(inference).tool_config(tools).send().await.map_err(fault)?;
        let (mut stream, mut answer) = (answered.stream, Answer::default());
        while let Some(event) = stream.recv().await.map_err(fault)? {
            answer.take(event, take, completion)?;
        }
        answer.end()
    }
}

#[expect(clippy::cast_possible_wrap, reason = "a constant far below the bound")]
const OUTPUT_TOKENS_MAX: i32 = prompt::OUTPUT_TOKENS_MAX as i32;

/// The message and the tool. They hold the facts and nothing else about the person.
fn request(
    facts: &InsightFacts,
) -> Result<(Message, ToolConfiguration), aws_sdk_bedrockruntime::error::BuildError> {
    let message = Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text(prompt::message(facts)))
        .build()?;
    let schema = ToolInputSchema::Json(document(prompt::schema(facts.include_recommendations)));
    let specification = ToolSpecification::builder()
        .name(TOOL)
        .description("Hands over the summary.")
        .input_schema(schema)
        .build()?;
    let choice = SpecificToolChoice::builder().name(TOOL).build()?;
    let tools = ToolConfiguration::builder()
        .tools(Tool::ToolSpec(specification))
        .tool_choice(ToolChoice::Tool(choice))
        .build()?;
    Ok((message, tools))
}

/// The SDK's own kind of JSON.
fn document(json: Value) -> Document {
    match json {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(value),
        Value::Number(number) => Document::Number(match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Number::PosInt(value),
            (None, Some(value)) => Number::NegInt(value),
            (None, None) => Number::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::String(text) => Document::String(text),
        Value::Array(items) => Document::Array(items.into_iter().map(document).collect()),
        Value::Object(fields) => {
            Document::Object(fields.into_iter().map(|(name, value)| (name, document(value))).collect())
        }
    }
}

fn fault<E, R>(error: SdkError<E, R>) -> Fault
where
    E: std::error::Error + Send + Sync + 'static,
    R: Status + std::fmt::Debug + Send + Sync + 'static,
{
    match error.raw_response().and_then(Status::status) {
        Some(status) => Fault::Status(status),
        None => Fault::Transport(Cause::from(error)),
    }
}

/// Where an error carries the status of an answer.
trait Status {
    fn status(&self) -> Option<u16>;
}

impl Status for aws_smithy_runtime_api::client::orchestrator::HttpResponse {
    fn status(&self) -> Option<u16> {
        Some(self.status().as_u16())
    }
}

/// An error within the stream is a message of it, and has no status.
impl Status for aws_smithy_types::event_stream::RawMessage {
    fn status(&self) -> Option<u16> {
        None
    }
}

#[derive(Default)]
struct Answer {
    length: usize,
    stop_reason: Option<StopReason>,
}

impl Answer {
    fn take(
        &mut self,
        event: ConverseStreamOutput,
        take: &mut Listener<'_>,
        completion: &mut Completion,
    ) -> Result<(), Fault> {
        match event {
            ConverseStreamOutput::ContentBlockDelta(block) => {
                // Text beside the tool's input is the model's talk.
                if let Some(ContentBlockDelta::ToolUse(delta)) = block.delta {
                    self.length += delta.input.len();
                    if self.length > ANSWER_BYTES_MAX {
                        return Err(Fault::TooLarge);
                    }
                    take(&delta.input);
                }
            }
            ConverseStreamOutput::MessageStop(stop) => self.stop_reason = Some(stop.stop_reason),
            ConverseStreamOutput::Metadata(metadata) => {
                completion.usage = metadata.usage.and_then(|usage| {
                    let input_tokens = u64::try_from(usage.input_tokens).ok()?;
                    let output_tokens = u64::try_from(usage.output_tokens).ok()?;
                    Some(Usage { input_tokens, output_tokens, cost_usd: None })
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn end(self) -> Result<(), Fault> {
        match &self.stop_reason {
            Some(StopReason::ToolUse | StopReason::EndTurn) => Ok(()),
            Some(reason @ (StopReason::GuardrailIntervened | StopReason::ContentFiltered)) => {
                Err(Fault::Blocked(code(Some(reason.as_str()))))
            }
            reason => Err(Fault::Stopped(code(reason.as_ref().map(StopReason::as_str)))),
        }
    }
}

#[cfg(test)]
mod tests;
