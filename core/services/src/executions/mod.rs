//! Has plugins work things out, for whoever waits for it: within their bounds, held against their schemas, and logged.
//!
//! What must not live here: how something reaches a plugin (the port `Deliver`), and what JSON Schema says.

mod log;
mod meters;
mod postgres;
mod schemas;
mod sqlite;

pub(crate) use sqlite::TABLES as SQLITE_TABLES;

use crate::data::PluginData;
use bytes::Bytes;
use camlock_policy::{
    AskError, Body, BoxFuture, Delivered, Delivery, ExecutionCounts, ExecutionEntry, ExecutionOrder, ExecutionOutcome,
    ExecutionQuery, ExecutionStatus, Executions, FaultKind, NotExecuted, ServedPlugins, Undelivered,
};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use log::ExecutionLog;
use meters::{ExecutionMeters, RunningExecution};
use schemas::{ExecutionSchemas, KnownTerms};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{runtime::Handle, time::timeout};

pub use schemas::SchemaReader;

/// What plugins take an execution by.
const PATH: &str = "/execute/1";
/// The longest sentence that is kept of a failure.
const LONGEST_ERROR: usize = 4_000;

/// The bounds of executions, and what is kept of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionSettings {
    /// How long one may take, if its plugin and whoever asks for it say nothing.
    pub time: Duration,
    /// How long one may take, whatever they say.
    pub longest: Duration,
    /// So many of one plugin at once.
    pub at_once: usize,
    /// Bytes of what one is about, input and context together.
    pub input: usize,
    /// Bytes of what it comes to.
    pub output: usize,
    /// How long they are kept in the log.
    pub kept: Duration,
    /// So many of each plugin are kept at most.
    pub most: u64,
    /// Whether what they were about and came to is kept too.
    pub content: bool,
}

impl Default for ExecutionSettings {
    fn default() -> Self {
        ExecutionSettings {
            time: Duration::from_secs(30),
            longest: Duration::from_secs(600),
            at_once: 256,
            input: 1 << 20,
            output: 4 << 20,
            kept: Duration::from_secs(30 * 24 * 3600),
            most: 10_000,
            content: false,
        }
    }
}

/// Has plugins work things out. Cheap to clone.
#[derive(Clone)]
pub struct Executor(Arc<ExecutorParts>);

struct ExecutorParts {
    plugins: Arc<dyn ServedPlugins>,
    settings: ExecutionSettings,
    schemas: ExecutionSchemas,
    meters: ExecutionMeters,
    log: ExecutionLog,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Executor").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Executor {
    /// For these plugins, with a log that lies there and is written on that runtime.
    pub fn new(
        plugins: Arc<dyn ServedPlugins>,
        reader: SchemaReader,
        data: PluginData,
        settings: ExecutionSettings,
        runtime: &Handle,
    ) -> Self {
        let meters = ExecutionMeters::default();
        let log = ExecutionLog::begin(data, settings, meters.clone(), runtime);
        Executor(Arc::new(ExecutorParts { plugins, settings, schemas: ExecutionSchemas::new(reader), meters, log }))
    }

    /// Forgets all that is logged of a plugin.
    pub async fn purge(&self, plugin: &Arc<str>) -> Result<(), AskError> {
        self.0.log.purge(plugin).await
    }

    /// Writes down what has ended until now.
    pub async fn flush(&self) {
        self.0.log.flush().await;
    }
}

impl Executions for Executor {
    fn execute(&self, order: ExecutionOrder) -> BoxFuture<Result<ExecutionOutcome, NotExecuted>> {
        let executor = self.0.clone();
        Box::pin(async move { executor.execute(order).await })
    }

    fn logged(&self, plugin: &str, query: ExecutionQuery) -> BoxFuture<Result<(Vec<ExecutionEntry>, bool), AskError>> {
        let (executor, plugin) = (self.0.clone(), Arc::from(plugin));
        Box::pin(async move { executor.log.read(&plugin, query).await })
    }

    fn counts(&self) -> BTreeMap<String, ExecutionCounts> {
        self.0.meters.counts()
    }
}

/// What became of one, before it is told and logged.
struct EndedExecution {
    status: ExecutionStatus,
    result: Value,
    output_bytes: u64,
    error: Option<String>,
    generation: Option<u64>,
}

impl EndedExecution {
    fn badly(status: ExecutionStatus, generation: Option<u64>, error: impl Into<String>) -> Self {
        let mut error = error.into();
        if error.len() > LONGEST_ERROR {
            let end = (0..=LONGEST_ERROR).rev().find(|end| error.is_char_boundary(*end)).unwrap_or(0);
            error.truncate(end);
        }
        EndedExecution { status, result: Value::Null, output_bytes: 0, error: Some(error), generation }
    }
}

impl ExecutorParts {
    async fn execute(self: Arc<Self>, order: ExecutionOrder) -> Result<ExecutionOutcome, NotExecuted> {
        let plugin: Arc<str> = order.plugin.as_str().into();
        let (serves, terms) = match self.plugins.serving(&plugin) {
            Some((generation, instance)) => {
                let told = &instance.description().manifest.camlock.execute;
                (Some(generation), self.schemas.of(&plugin, generation, told).map_err(NotExecuted::NotServing)?)
            }
            // Whoever delivers says why, or waits until something does.
            None => (None, Arc::default()),
        };
        let input = terms.input(order.input).map_err(NotExecuted::Misfit)?;
        let running = self.meters.begin(&plugin, self.settings.at_once).ok_or_else(|| {
            let most = self.settings.at_once;
            NotExecuted::TooMany(format!(
                "{most} executions of `{plugin}` are under way, and no more are taken at once"
            ))
        })?;
        let id = log::fresh_id(SystemTime::now());
        let question = json!({ "id": id, "input": input, "context": order.context });
        let body = Bytes::from(question.to_string());
        if body.len() > self.settings.input {
            let (size, most) = (body.len(), self.settings.input);
            return Err(NotExecuted::TooLarge(format!("the input has {size} bytes, and {most} are taken at most")));
        }
        let kept_input = self.settings.content.then(|| question["input"].clone());
        let under_way = ExecutionUnderWay {
            parts: &self,
            entry: Some(ExecutionEntry {
                id: id.clone(),
                plugin: plugin.to_string(),
                generation: serves,
                status: ExecutionStatus::Cancelled,
                begun: SystemTime::now(),
                took: Duration::ZERO,
                input_bytes: body.len() as u64,
                output_bytes: 0,
                error: Some("nobody waited any more".to_owned()),
                by: order.by.to_string(),
                input: kept_input,
                result: None,
            }),
            begun: Instant::now(),
            running,
        };
        let time = order.time.or(terms.time).unwrap_or(self.settings.time).min(self.settings.longest);
        let delivery = Delivery::new(PATH, body, order.trace_id);
        let refused_before = self.refused_to(&plugin);
        let ended = match timeout(time, self.deliver(&plugin, &terms, delivery)).await {
            Ok(Ok(ended)) => self.by_refusal(&plugin, refused_before, ended),
            Ok(Err(not)) => {
                under_way.was_not_begun();
                return Err(not);
            }
            Err(_) => {
                let told = format!("it did not end within {} ms", time.as_millis());
                EndedExecution::badly(ExecutionStatus::Timeout, None, told)
            }
        };
        Ok(under_way.ended(id, ended))
    }

    /// What the process that serves the plugin was refused so far, if it has one of its own.
    fn refused_to(&self, plugin: &str) -> (u64, BTreeMap<String, u64>) {
        let Some((generation, instance)) = self.plugins.serving(plugin) else { return (0, BTreeMap::new()) };
        (generation, instance.process().unwrap_or_default().refused)
    }

    /// One that failed while its process was refused something ended by that, as far as can be told: others that ran in it at the same
    /// time may have been meant.
    fn by_refusal(
        &self,
        plugin: &str,
        (before, known): (u64, BTreeMap<String, u64>),
        mut ended: EndedExecution,
    ) -> EndedExecution {
        let (now, refused) = self.refused_to(plugin);
        if ended.status != ExecutionStatus::Error || now != before {
            return ended;
        }
        let act = refused.into_iter().find(|(act, count)| known.get(act).is_none_or(|known| known < count));
        if let Some((act, _)) = act {
            ended.status = ExecutionStatus::SecurityViolation;
            let told = ended.error.take().unwrap_or_default();
            ended.error = Some(format!("{told}; its process was refused to {act}"));
        }
        ended
    }

    /// Has the plugin work it out.
    async fn deliver(
        &self,
        plugin: &str,
        terms: &KnownTerms,
        delivery: Delivery,
    ) -> Result<EndedExecution, NotExecuted> {
        let Delivered { generation, response } = match self.plugins.deliver(plugin, delivery).await {
            Ok(delivered) => delivered,
            Err(Undelivered::NotServing(why)) => return Err(NotExecuted::NotServing(why)),
            Err(leaving @ Undelivered::Leaving) => {
                return Ok(EndedExecution::badly(ExecutionStatus::Cancelled, None, leaving.to_string()));
            }
            Err(Undelivered::Failed { generation, fault }) => {
                let told = match fault.kind {
                    FaultKind::Panic => format!("it panicked: {} ({})", fault.message, fault.location),
                    _ => fault.message,
                };
                return Ok(EndedExecution::badly(ExecutionStatus::Error, Some(generation), told));
            }
        };
        let (status, generation) = (response.status(), Some(generation));
        let badly = |told: String| Ok(EndedExecution::badly(ExecutionStatus::Error, generation, told));
        let bytes = match whole(response.into_body(), self.settings.output).await {
            Ok(bytes) => bytes,
            Err(told) => return badly(told),
        };
        match status {
            StatusCode::NOT_FOUND => Err(NotExecuted::NotTaken(plugin.to_owned())),
            StatusCode::OK => match serde_json::from_slice::<Value>(&bytes) {
                Ok(result) => match terms.misfits(&result) {
                    None => Ok(EndedExecution {
                        status: ExecutionStatus::Success,
                        result,
                        output_bytes: bytes.len() as u64,
                        error: None,
                        generation,
                    }),
                    Some(told) => badly(format!("what it came to is not what the plugin says of it: {told}")),
                },
                Err(error) => badly(format!("what it came to is no JSON: {error}")),
            },
            _ => badly(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

/// A body to its end.
async fn whole(body: Body, most: usize) -> Result<Bytes, String> {
    let read = Limited::new(body, most).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return format!("what it came to has more than the {most} bytes that are taken");
        }
        format!("what it came to broke off: {error}")
    })?;
    Ok(read.to_bytes())
}

/// One that is under way: whatever becomes of it, it is logged and counted.
struct ExecutionUnderWay<'a> {
    parts: &'a ExecutorParts,
    /// As it is logged if nobody waits any more. There until it is.
    entry: Option<ExecutionEntry>,
    begun: Instant,
    running: RunningExecution,
}

impl ExecutionUnderWay<'_> {
    fn ended(mut self, id: String, ended: EndedExecution) -> ExecutionOutcome {
        let EndedExecution { status, result, output_bytes, error, mut generation } = ended;
        if let Some(entry) = &mut self.entry {
            generation = generation.or(entry.generation);
            (entry.status, entry.output_bytes, entry.generation) = (status, output_bytes, generation);
            entry.error.clone_from(&error);
            let is_kept = self.parts.settings.content && status == ExecutionStatus::Success;
            entry.result = is_kept.then(|| result.clone());
        }
        let took = self.log();
        ExecutionOutcome { id, status, result, error, took, generation }
    }

    /// None of the plugin's code ran: there is nothing to log.
    fn was_not_begun(mut self) {
        self.entry = None;
    }

    fn log(&mut self) -> Duration {
        let took = self.begun.elapsed();
        if let Some(mut entry) = self.entry.take() {
            entry.took = took;
            self.running.ended(entry.status, took);
            self.parts.log.write(entry);
        }
        took
    }
}

impl Drop for ExecutionUnderWay<'_> {
    fn drop(&mut self) {
        self.log();
    }
}
