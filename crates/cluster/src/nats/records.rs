//! The records of the nodes: a bucket of `JetStream`'s key-value store, whose keys are the names of the nodes.

use super::link::{Link, unreachable};
use crate::seal::{Opened, Purpose};
use crate::transport::{Unreachable, WriteError};
use crate::{NodeId, Record};
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{Config, DirectGetErrorKind, DiscardPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{HeaderMap, HeaderValue, Message};
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// When NATS removes what a dead node has left, silently. Nothing depends on it.
const CLEANED_UP: Duration = Duration::from_hours(1);

/// How often a bucket that others are making is asked for again, and the pause before that: half a second is many times
/// what it takes them.
const TRIES: u32 = 20;
const AGAIN: Duration = Duration::from_millis(25);

fn overlaps(error: CreateStreamErrorKind) -> bool {
    matches!(error, CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP)
}

#[derive(Debug, Clone)]
pub(super) struct Records {
    link: Arc<Link>,
    context: Context,
    bucket: String,
}

impl Records {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let (context, bucket) = (jetstream::new(link.client.clone()), format!("evenfold_{}", link.cluster));
        Self { link, context, bucket }
    }

    /// Makes the bucket if there is none: in memory, as heartbeats are not worth keeping. So NATS may lose it when it
    /// starts again, and then it is made again.
    ///
    /// By hand, as the client's own way to create a bucket first asks for the account in words that the server of
    /// Debian 12, 2.9.10, does not know.
    pub(super) async fn create(&self) -> Result<(), String> {
        let config = Config {
            name: format!("KV_{}", self.bucket),
            description: Some("The heartbeats of the nodes of evenfold".to_owned()),
            subjects: vec![self.subjects()],
            max_messages_per_subject: 1,
            max_age: CLEANED_UP,
            storage: StorageType::Memory,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        };
        let mut tries = 0;
        loop {
            match self.context.create_stream(config.clone()).await {
                Ok(_) => return Ok(()),
                // Nodes that make it at the same time: to the server the bucket of one overlaps with that of another,
                // the same one, until it is there.
                Err(error) if tries < TRIES && overlaps(error.kind()) => tries += 1,
                Err(error) => return Err(error.to_string()),
            }
            sleep(AGAIN).await;
        }
    }

    pub(super) fn subjects(&self) -> String {
        self.subject(">")
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket)
    }

    async fn stream(&self) -> Result<Stream<()>, Unreachable> {
        self.context.get_stream_no_info(format!("KV_{}", self.bucket)).await.map_err(unreachable)
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeId>, Unreachable> {
        let keys = self.stream().await?.info_with_subjects(self.subjects()).await.map_err(unreachable)?;
        let keys: Vec<(String, usize)> = keys.try_collect().await.map_err(unreachable)?;
        Ok(keys.iter().filter_map(|(subject, _)| node_of(subject)).collect())
    }

    /// A record that no node of this cluster has sealed has nothing in it: it can be written over by its revision.
    pub(super) async fn read(&self, node: &NodeId) -> Result<Option<Record>, Unreachable> {
        match self.stream().await?.direct_get_last_for_subject(self.subject(node.as_str())).await {
            Ok(message) => {
                let opened = self.open(node, &message.subject, message.payload);
                let value = opened.map(|opened| opened.body).unwrap_or_default();
                Ok(Some(Record { revision: message.sequence, value }))
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreachable(error)),
        }
    }

    /// The node whose record is written, its session, and what is written; none for what no node of this cluster has
    /// sealed.
    pub(super) fn written(&self, message: Message) -> Option<(NodeId, Uuid, Bytes)> {
        let node = node_of(message.subject.as_str())?;
        let opened = self.open(&node, &message.subject, message.payload)?;
        Some((node, Uuid::from_bytes(opened.head), opened.body))
    }

    fn open(&self, node: &NodeId, subject: &str, value: Bytes) -> Option<Opened<16>> {
        let opened = self.link.seal.open(Purpose::Record, &[node.as_str().as_bytes()], value);
        if opened.is_none() {
            self.link.refusals.unverified(subject);
        }
        opened
    }

    /// Half of the time is for the case that NATS has started again without the bucket. It does not say so: as nodes
    /// subscribe to the same subjects, somebody is there to hear, and nobody to acknowledge.
    pub(super) async fn write(
        &self,
        node: &NodeId,
        expected: u64,
        value: Bytes,
        limit: Duration,
    ) -> Result<u64, WriteError> {
        let session = self.link.served(node);
        let place = [node.as_str().as_bytes()];
        let (value, _) = self.link.seal.seal(Purpose::Record, &place, session.as_bytes(), &value);
        let written = if let Ok(written) = timeout(limit / 2, self.put(node, expected, value.clone())).await {
            written
        } else {
            self.create().await.map_err(unreachable)?;
            self.put(node, expected, value).await
        };
        written.map_err(|error| match error.kind() {
            PublishErrorKind::WrongLastSequence => WriteError::Conflict,
            _ => unreachable(error).into(),
        })
    }

    async fn put(&self, node: &NodeId, expected: u64, value: Bytes) -> Result<u64, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(expected));
        let subject = self.subject(node.as_str());
        Ok(self.context.publish_with_headers(subject, headers, value).await?.await?.sequence)
    }
}

/// Whose record a subject is about.
fn node_of(subject: &str) -> Option<NodeId> {
    NodeId::new(subject.rsplit_once('.')?.1).ok()
}
