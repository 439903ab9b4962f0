//! Sends e-mails through SES, which treats a repeated request as a new one.
//!
//! To send one e-mail although messages are repeated and functions are killed, run [`Mailer::send`] under an idempotency record,
//! and keep the record in progress after an error that [is unknown](SendError::is_unknown). It stays so, too, if the function
//! dies. SES publishes the event `Email Sent` with the e-mail's tag for each e-mail that it accepted: complete the record then.
//! The record has to be in progress for much longer than that event takes.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::Builder;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::types::{Attachment, Body, Content, Destination, EmailContent, Message, MessageTag};
use aws_services::Unavailable;
use lambda_runtime::Context;
use powertools::remaining_time;
use thiserror::Error;

/// Shorter than a function's timeout, so that the function learns the result of a call.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Minimum remaining time of the invocation for a call to SES: SES could accept a call that outlives its invocation after
/// the idempotency record has expired.
const TIME_TO_SEND: Duration = Duration::from_secs(10);

/// The sender of e-mails.
#[derive(Clone, Debug)]
pub struct Mailer {
    /// The client of SES.
    pub ses: Client,
    /// The address that e-mails come from: a verified identity of SES.
    pub sender: String,
    /// Publishes `Email Sent` with the tags of an e-mail.
    pub configuration_set: String,
}

/// An e-mail with a text of its own.
#[derive(Clone, Debug)]
pub struct Email<'a> {
    /// The address of the recipient.
    pub to: &'a str,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// What SES's event `Email Sent` has to know: a name and a value of ASCII letters, digits, `_` and `-`.
    pub tag: Option<(&'static str, &'a str)>,
    /// A file.
    pub attachment: Option<Attachment>,
}

/// Why an e-mail is not known to be sent. The messages hold no personal data.
#[derive(Debug, Error)]
pub enum SendError {
    /// Nothing was sent.
    #[error("too little time left in this invocation")]
    NoTimeLeft,
    /// SES refused the e-mail.
    #[error(transparent)]
    Refused(Unavailable),
    /// There was no clear answer.
    #[error("SES may have accepted the e-mail: {0}")]
    Unknown(Unavailable),
}

impl SendError {
    /// Whether SES may have accepted the e-mail.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

impl Mailer {
    /// Sends an e-mail with one call.
    ///
    /// # Errors
    /// See [`SendError`]; after [`SendError::Unknown`] another call could send a second e-mail.
    pub async fn send(&self, email: Email<'_>, context: &Context) -> Result<(), SendError> {
        if remaining_time(context) < TIME_TO_SEND {
            return Err(SendError::NoTimeLeft);
        }
        let content = |text: String| Content::builder().data(text).charset("UTF-8").build().expect("it has data");
        let message = Message::builder()
            .subject(content(email.subject))
            .body(Body::builder().text(content(email.text)).build())
            .set_attachments(email.attachment.map(|attachment| vec![attachment]))
            .build();
        let tag = email.tag.map(|(name, value)| MessageTag::builder().name(name).value(value).build());
        let result = self
            .ses
            .send_email()
            .from_email_address(&self.sender)
            .destination(Destination::builder().to_addresses(email.to).build())
            .content(EmailContent::builder().simple(message).build())
            .configuration_set_name(&self.configuration_set)
            .set_email_tags(tag.map(|tag| vec![tag.expect("it has a name and a value")]))
            .customize()
            // SES treats a repeated request as a new one: a call without an answer must not be repeated.
            .config_override(
                Builder::new()
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(TimeoutConfig::builder().operation_timeout(SEND_TIMEOUT).build()),
            )
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        let is_refused = error.raw_response().is_some_and(|response| response.status().is_client_error());
        let unavailable = Unavailable::from_sdk("SES", &error);
        Err(if is_refused { SendError::Refused(unavailable) } else { SendError::Unknown(unavailable) })
    }
}
