use super::Global;
use super::output::print;
use super::session::Session;
use evenfold::schema;

pub(super) async fn run(global: &Global) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let (mut conn, _) = session.database.connect_to_server().await?;
    schema::migrate(&mut conn).await?;
    drop(conn);
    session.close().await?;
    print("the tables are up to date\n")
}
