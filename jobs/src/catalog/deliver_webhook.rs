//! Delivers a webhook: one HTTP POST, retried when the other side asks for it.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde::Deserialize;

use crate::{Job, JobContext, JobError, Outcome};

/// The longest wait that a `Retry-After` can impose, so that no service parks a job for ever.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// A webhook to be delivered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeliverWebhook {
    /// Where to; http or https.
    pub(super) url: String,
    /// The JSON body.
    pub(super) payload: serde_json::Value,
    /// Additional request headers.
    pub(super) headers: HashMap<String, String>,
    /// How long the other side may take, in seconds (1 to 300).
    pub(super) timeout_seconds: u64,
}

impl Default for DeliverWebhook {
    fn default() -> Self {
        Self {
            url: String::new(),
            payload: serde_json::Value::Null,
            headers: HashMap::new(),
            timeout_seconds: 10,
        }
    }
}

impl Job for DeliverWebhook {
    const CLASS: &'static str = r"App\Jobs\DeliverWebhook";
    type Resources = Client;

    async fn handle(&self, job: &JobContext<Client>) -> Result<Outcome, JobError> {
        let url = match reqwest::Url::parse(&self.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            _ => {
                return Ok(Outcome::Fail {
                    reason: "the webhook's url is not an http or https address".into(),
                });
            }
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        let headers = match HeaderMap::try_from(&self.headers) {
            Ok(headers) => headers,
            Err(error) => {
                return Ok(Outcome::Fail {
                    reason: format!("a header of the webhook is malformed: {error}"),
                });
            }
        };
        let response = job
            .resources()
            .post(url)
            .headers(headers)
            .header("Idempotency-Key", job.uuid())
            .timeout(Duration::from_secs(self.timeout_seconds.clamp(1, 300)))
            .json(&self.payload)
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        judge(&host, response.status(), response.headers())
    }
}

/// What an answer means: 2xx done, 408, 425, 429 and 5xx another try, anything else the end.
fn judge(host: &str, status: StatusCode, headers: &HeaderMap) -> Result<Outcome, JobError> {
    if status.is_success() {
        return Ok(Outcome::Done);
    }
    let said = format!("{host} answered {status} to the webhook");
    if matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error() {
        return Err(JobError::new(said).retry_after(wait_asked_for(headers)));
    }
    Ok(Outcome::Fail { reason: said })
}

/// `Retry-After` as seconds or as an HTTP date, at most a day.
fn wait_asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(retry_after: &'static str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(
            RETRY_AFTER,
            reqwest::header::HeaderValue::from_static(retry_after),
        );
        map
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        let none = HeaderMap::new();
        assert_eq!(judge("h", StatusCode::NO_CONTENT, &none).unwrap(), Outcome::Done);
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(
                judge("h", StatusCode::from_u16(status).unwrap(), &none).is_err(),
                "{status}"
            );
        }
        for status in [301, 400, 401, 403, 404, 410, 422] {
            let outcome = judge("h", StatusCode::from_u16(status).unwrap(), &none).unwrap();
            assert!(matches!(outcome, Outcome::Fail { .. }), "{status}");
        }
    }

    #[test]
    fn a_wait_may_be_seconds_or_a_date_and_is_bounded() {
        assert_eq!(wait_asked_for(&headers("17")), Some(Duration::from_secs(17)));
        assert_eq!(wait_asked_for(&headers("9999999999")), Some(LONGEST_WAIT));
        assert_eq!(
            wait_asked_for(&headers("Wed, 21 Oct 2015 07:28:00 GMT")),
            Some(Duration::ZERO)
        );
        assert_eq!(
            wait_asked_for(&headers("Thu, 21 Oct 2055 07:28:00 GMT")),
            Some(LONGEST_WAIT)
        );
        assert_eq!(wait_asked_for(&headers("soon")), None);
    }
}
