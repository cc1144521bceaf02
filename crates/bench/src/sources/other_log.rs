//! A table of events as another library may have it: positions from a sequence, and nothing of evenfold's in it.

use evenfold::Database;
use evenfold::log::Source;
use evenfold::log::foreign::Mapping;
use evenfold::schema::Schema;
use evenfold_cli::bench::arena::Arena;
use futures_util::TryStreamExt;
use sqlx::PgConnection;

/// What a table is made of. `evenfold.` is the benchmark's schema.
const TABLE: &str = "SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE evenfold.{name} (
    global_position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_type     text NOT NULL,
    stream_id       text NOT NULL,
    stream_version  bigint NOT NULL,
    event_type      text NOT NULL,
    payload         {json} NOT NULL,
    metadata        {json},
    event_id        uuid NOT NULL DEFAULT gen_random_uuid(),
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (stream_type, stream_id, stream_version)
)";

const OUT: &str = "COPY (SELECT aggregate_type, aggregate_id, version, event_type, payload, event_id, recorded_at
    FROM evenfold.events ORDER BY position) TO STDOUT";

const IN: &str =
    "COPY evenfold.{name} (stream_type, stream_id, stream_version, event_type, payload, event_id, recorded_at)
    FROM STDIN";

/// One of these tables.
pub(super) struct OtherLog {
    pub(super) database: Database,
    pub(super) name: &'static str,
}

impl OtherLog {
    /// An empty one of this name, with payloads of this type.
    pub(super) async fn create(database: &Database, name: &'static str, json: &str) -> anyhow::Result<Self> {
        let log = Self { database: database.clone(), name };
        let create = TABLE.replace("{schema}", &database.schema().to_string()).replace("{json}", json);
        sqlx::raw_sql(log.sql(&create)).execute(&mut log.connect().await?).await?;
        Ok(log)
    }

    /// The events of evenfold's own log, in the order of its positions.
    pub(super) async fn fill(&self, arena: &Arena) -> anyhow::Result<()> {
        let (mut from, mut to) = (arena.database.connect().await?, self.connect().await?);
        let mut rows = from.copy_out_raw(arena.database.schema().sql(OUT).as_str()).await?;
        let mut into = to.copy_in_raw(self.sql(IN).as_str()).await?;
        while let Some(some) = rows.try_next().await? {
            into.send(some.as_ref()).await?;
        }
        into.finish().await?;
        sqlx::raw_sql(self.sql("VACUUM ANALYZE evenfold.{name}")).execute(&mut to).await?;
        Ok(())
    }

    pub(super) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.database.connect_to_server().await?.0)
    }

    /// A statement: `{name}` is the table.
    pub(super) fn sql(&self, template: &str) -> sqlx::SqlStr {
        self.schema().sql(template.replace("{name}", self.name))
    }

    fn schema(&self) -> &Schema {
        self.database.schema()
    }

    /// How it is read.
    pub(super) async fn source(&self) -> anyhow::Result<Source> {
        let mapping = Mapping {
            name: "custom".to_owned(),
            table: format!("{}.{}", self.schema(), self.name),
            first_version: 1,
            position: "global_position".to_owned(),
            aggregate_type: "stream_type".to_owned(),
            aggregate_id: "stream_id".to_owned(),
            version: Some("stream_version".to_owned()),
            event_id: Some("event_id".to_owned()),
            event_type: "event_type".to_owned(),
            payload: "payload".to_owned(),
            metadata: Some("metadata".to_owned()),
            recorded_at: Some("recorded_at".to_owned()),
            ..Mapping::default()
        };
        Ok(Source::find(&self.database, &mapping).await?)
    }

    /// The same, as a file of settings for a process.
    pub(super) fn settings(&self) -> String {
        format!(
            "[source.custom]
table = '{}.{}'
position = \"global_position\"
aggregate_type = \"stream_type\"
aggregate_id = \"stream_id\"
version = \"stream_version\"
event_id = \"event_id\"
event_type = \"event_type\"
payload = \"payload\"
metadata = \"metadata\"
recorded_at = \"recorded_at\"
",
            self.schema(),
            self.name
        )
    }
}
