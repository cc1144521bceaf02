//! A log of a shop: a table that evenfold knows nothing of, and a projection that notes what it is given.

use crate::support::{SHOP_TABLE, TestDb};
use evenfold::database::Database;
use evenfold::log::Source;
use evenfold::log::foreign::{Mapping, Positions, add_xid, adding_xid, sequence_of};
use evenfold::projection::{Batch, BoxError, Projection};
use sqlx::PgConnection;

/// The log's database, and how it is read.
pub(super) struct Shop {
    database: Database,
    source: Source,
    /// Dropped with the log, unless that is on a server of its own.
    _db: Option<TestDb>,
}

impl Shop {
    pub(super) async fn new() -> Self {
        let db = TestDb::empty().await;
        let made = Self::made(db.database.clone()).await;
        Self { _db: Some(db), ..made }
    }

    /// With a column for the transaction, and writers whose numbers are drawn by earlier ones.
    pub(super) async fn of_transactions() -> Self {
        Self::new().await.by_transactions().await
    }

    /// The same log, with that.
    pub(super) async fn by_transactions(self) -> Self {
        let log = self;
        let mapping = Mapping { positions: Some(Positions::Xid("xid".to_owned())), ..mapping() };
        let mut conn = log.connect().await;
        for statement in adding_xid(&mut conn, &mapping).await.unwrap().unwrap() {
            add_xid(&mut conn, &statement).await.unwrap();
        }
        assert_eq!(adding_xid(&mut conn, &mapping).await.unwrap().unwrap(), Vec::<String>::new());
        sqlx::raw_sql("ALTER SEQUENCE shop.domain_events_id_seq CACHE 20").execute(&mut conn).await.unwrap();
        let source = Source::find(&log.database, &mapping).await.unwrap();
        Self { source, ..log }
    }

    /// On a server of its own.
    pub(super) async fn at(url: &str) -> Self {
        Self::made(Database::at(url).unwrap()).await
    }

    async fn made(database: Database) -> Self {
        let mut conn = database.connect_to_server().await.unwrap().0;
        sqlx::raw_sql(SHOP_TABLE).execute(&mut conn).await.unwrap();
        Self::of(database).await
    }

    /// One that is there.
    pub(super) async fn of(database: Database) -> Self {
        Self::mapped(database, |mapping| mapping).await
    }

    /// The same log, whose mapping differs in this.
    pub(super) async fn differing(self, change: impl FnOnce(Mapping) -> Mapping) -> Self {
        let source = Self::mapped(self.database.clone(), change).await.source;
        Self { source, ..self }
    }

    /// The same log, of which rows are read from this server.
    pub(super) fn rows_from(self, standby: &str) -> Self {
        Self { source: self.source.rows_from(&Database::at(standby).unwrap()), ..self }
    }

    async fn mapped(database: Database, change: impl FnOnce(Mapping) -> Mapping) -> Self {
        let mut conn = database.connect_to_server().await.unwrap().0;
        let mapping = change(mapping());
        let sequence = sequence_of(&mut conn, &mapping).await.unwrap().unwrap();
        let source = Source::new(&database, mapping.layout(Positions::Sequence(sequence)).unwrap());
        Self { database, source, _db: None }
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Whether it has a column for the transaction.
    pub(super) fn has_transactions(&self) -> bool {
        self.source.layout().foreign().is_some_and(|foreign| foreign.xid().is_some())
    }

    pub(super) fn source(&self) -> Source {
        self.source.clone()
    }

    pub(super) async fn connect(&self) -> PgConnection {
        self.database.connect_to_server().await.unwrap().0
    }
}

/// What its columns mean.
pub(super) fn mapping() -> Mapping {
    Mapping {
        name: "custom".to_owned(),
        table: "shop.domain_events".to_owned(),
        position: "id".to_owned(),
        aggregate_type: "'order'".to_owned(),
        aggregate_id: "order_id".to_owned(),
        version: Some("version".to_owned()),
        first_version: 1,
        event_type: "kind".to_owned(),
        payload: "body".to_owned(),
        ..Mapping::default()
    }
}

/// Notes each event, and fails where one comes twice.
pub(super) struct Order;

impl Projection for Order {
    fn name(&self) -> &'static str {
        "folded"
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        let table = "CREATE TABLE folded (id bigint PRIMARY KEY, order_id uuid, version bigint, seq bigserial);
            CREATE INDEX ON folded (order_id)";
        sqlx::raw_sql(table).execute(conn).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        for event in batch.events() {
            sqlx::query("INSERT INTO folded (id, order_id, version) VALUES ($1, $2::uuid, $3)")
                .bind(event.position)
                .bind(event.aggregate_id.to_owned())
                .bind(event.version)
                .execute(&mut *conn)
                .await?;
        }
        Ok(())
    }
}
