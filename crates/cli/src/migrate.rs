//! `migrate`: the schema, made or brought up to date.

use super::Global;
use super::output::{complain, print, visible};
use super::session::Session;
use evenfold::schema::{self, Migrated};

pub(super) async fn run(global: &Global) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let (mut conn, server) = session.database.connect_to_server().await?;
    let migrated = schema::migrate(session.database.schema(), &mut conn).await?;
    let in_path = schema::is_in_search_path(session.database.schema(), &mut conn).await?;
    drop(conn);
    let name = session.database.schema().name().to_owned();
    session.close().await?;
    if in_path {
        complain(&format!(
            "the search_path of {} leads to the schema {name}: an application's statements that name no schema would find \
             evenfold's tables; change it (`ALTER ROLE … SET search_path = public`), or choose another --schema",
            visible(&server.user)
        ));
    }
    print(&match migrated {
        Migrated::UpToDate => format!("the tables in the schema {name} are up to date\n"),
        Migrated::Made => format!("the tables are in the schema {name}, and up to date\n"),
        Migrated::Moved { from } => format!(
            "the tables were moved from the schema {} to the schema {name},\nand are up to date\n",
            visible(&from)
        ),
    })
}
