use super::Global;
use super::output::{print, visible};
use super::session::Session;
use evenfold::schema::{self, Migrated};

pub(super) async fn run(global: &Global) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let (mut conn, _) = session.database.connect_to_server().await?;
    let migrated = schema::migrate(session.database.schema(), &mut conn).await?;
    drop(conn);
    let name = session.database.schema().name().to_owned();
    session.close().await?;
    print(&match migrated {
        Migrated::UpToDate => format!("the tables in the schema {name} are up to date\n"),
        Migrated::Made => format!("the tables are in the schema {name}, and up to date\n"),
        Migrated::Moved { from } => format!(
            "the tables were moved from the schema {} to the schema {name},\nand are up to date\n",
            visible(&from)
        ),
    })
}
