//! A function, which is given one event after the other.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use serde_json::Value;
use tokio::time::timeout;

use crate::Cores;
use crate::process::{LONGEST_WAIT, Process, Usage, micros};
use crate::runtime_api::{Poll, RuntimeApi};
use crate::services::Services;

/// A function that waits for an event.
pub struct Function {
    process: Process,
    api: RuntimeApi,
    poll: Poll,
}

impl Function {
    pub async fn start(
        command: &[String],
        environment: &BTreeMap<String, String>,
        cores: &Cores,
        services: &Services,
    ) -> Result<(Self, Usage), Box<dyn Error>> {
        let mut api = RuntimeApi::start().await?;
        let mut variables = BTreeMap::from(
            [
                ("AWS_LAMBDA_RUNTIME_API", api.address()),
                ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/measured"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "measured"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        if let Some(port) = services.extension() {
            variables.insert("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT".to_owned(), port.to_string());
        }
        variables.extend(environment.clone());
        let calls = services.calls();
        let begin = Instant::now();
        let process = Process::start(command, &variables, cores, services)?;
        let poll = timeout(LONGEST_WAIT, api.poll()).await??;
        let init =
            Usage { wall_us: micros(poll.at - begin), cpu_us: micros(process.cpu()?), calls: services.calls() - calls };
        Ok((Self { process, api, poll }, init))
    }

    pub async fn invoke(&mut self, event: &[u8], services: &Services) -> Result<(Value, Usage), Box<dyn Error>> {
        let (calls, cpu) = (services.calls(), self.process.cpu()?);
        let begin = Instant::now();
        self.poll.answer(event)?;
        let answer = timeout(LONGEST_WAIT, self.api.answer()).await??;
        // Work between its answer and its next poll is part of the invocation.
        self.poll = timeout(LONGEST_WAIT, self.api.poll()).await??;
        let usage = Usage {
            wall_us: micros(answer.at - begin),
            cpu_us: micros(self.process.cpu()? - cpu),
            calls: services.calls() - calls,
        };
        Ok((answer.body?, usage))
    }

    /// Like [`Process::stop`]. Until then, it waits for an event.
    pub async fn stop(self) -> Result<u64, Box<dyn Error>> {
        self.process.stop().await
    }
}
