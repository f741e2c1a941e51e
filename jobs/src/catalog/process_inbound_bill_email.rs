//! Fans an inbound e-mail out: one job per attachment, which PHP parses.

use std::time::Duration;

use serde::Deserialize;

use crate::{Dispatch, Job, JobContext, JobError, Outcome};

/// An e-mail with bills attached, as the inbound mail webhook pushes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ProcessInboundBillEmail {
    /// The company whose mailbox it came to.
    pub(super) company_id: i64,
    /// The sender's address.
    pub(super) from: String,
    /// The subject line.
    pub(super) subject: Option<String>,
    /// The stored attachments, in the order of the e-mail.
    pub(super) attachments: Vec<Attachment>,
}

/// One stored attachment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attachment {
    /// Where it lies in the application's storage.
    pub(super) path: String,
    /// Its name in the e-mail.
    pub(super) original_name: String,
    /// Its media type.
    pub(super) content_type: String,
}

impl Job for ProcessInboundBillEmail {
    const CLASS: &'static str = r"App\Jobs\ProcessInboundBillEmail";
    type Resources = ();

    async fn handle(&self, job: &JobContext<()>) -> Result<Outcome, JobError> {
        let parses = self
            .attachments
            .iter()
            .map(|attachment| self.parse(attachment))
            .collect();
        job.dispatch_all(parses).await?;
        Ok(Outcome::Done)
    }
}

impl ProcessInboundBillEmail {
    /// The job that parses one attachment: three tries, 30, 120 and 300 s apart, as its PHP class declares.
    fn parse(&self, attachment: &Attachment) -> Dispatch {
        Dispatch::new(r"App\Jobs\ParseInvoicePdfJob")
            .with("companyId", self.company_id)
            .with("filePath", attachment.path.as_str())
            .with("originalName", attachment.original_name.as_str())
            .with("from", self.from.as_str())
            .with("subject", self.subject.clone())
            .with("contentType", attachment.content_type.as_str())
            .tries(3)
            .backoff([30, 120, 300].map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::{Attachment, ProcessInboundBillEmail};

    #[test]
    fn properties_keep_the_order_of_the_php_class() {
        let email = ProcessInboundBillEmail {
            company_id: 7,
            ..Default::default()
        };
        let parse = email.parse(&Attachment {
            path: "a.pdf".into(),
            ..Default::default()
        });
        let names: Vec<_> = parse.properties.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "companyId",
                "filePath",
                "originalName",
                "from",
                "subject",
                "contentType"
            ]
        );
        assert_eq!(parse.properties["subject"], serde_json::Value::Null);
    }
}
