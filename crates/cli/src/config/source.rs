//! The table `[source]` of the settings file.

use evenfold::log::foreign::{Mapping, Payload, Positions, XID_COLUMN};
use std::collections::BTreeMap;

/// The id of the flag by which it comes to the commands.
pub(crate) const SETTINGS: &str = "source_settings";

/// The table's name in the file.
const TABLE: &str = "source";

const KEYS: [&str; 7] = ["url", "rows_from", "preset", "schema", "append_mode", "name", "custom"];

const COLUMNS: [&str; 16] = [
    "table",
    "position",
    "positions",
    "sequence",
    "xid",
    "aggregate_type",
    "aggregate_id",
    "version",
    "first_version",
    "event_id",
    "event_type",
    "payload",
    "payload_encoding",
    "metadata",
    "recorded_at",
    "where",
];

/// What the table says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourceSettings {
    own: BTreeMap<String, String>,
    columns: BTreeMap<String, String>,
}

/// Takes the table out of a file: what has a flag of its own is put into the file by its name, and the rest is what
/// comes back, as JSON.
pub(super) fn take(file: &mut toml::Table) -> Result<Option<String>, String> {
    let Some(toml::Value::Table(mut table)) = file.get(TABLE).cloned() else { return Ok(None) };
    file.remove(TABLE);
    for (key, flag) in [("url", "source_url"), ("rows_from", "source_rows_from"), ("preset", "source")] {
        if let Some(value) = table.remove(key)
            && file.insert(flag.to_owned(), value).is_some()
        {
            return Err(format!("{flag} is given twice, also as {key} in [source]: leave one out"));
        }
    }
    SourceSettings::of(table.clone())?;
    serde_json::to_string(&table).map(Some).map_err(|error| error.to_string())
}

impl SourceSettings {
    /// Reads what is in the table, as JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string()).and_then(Self::of)
    }

    fn of(mut table: toml::Table) -> Result<Self, String> {
        let columns = match table.remove("custom") {
            None => BTreeMap::new(),
            Some(toml::Value::Table(columns)) => texts("source.custom", columns)?,
            Some(_) => return Err("custom must be a table: [source.custom]".to_owned()),
        };
        let own = texts("source", table)?;
        known("source", &own, &KEYS)?;
        known("source.custom", &columns, &COLUMNS)?;
        // A definition has it between semicolons.
        if own.get("name").is_some_and(|name| name.trim().is_empty() || name.contains(';')) {
            return Err("name in [source] must have characters, and none of them may be a semicolon".to_owned());
        }
        check(&columns)?;
        Ok(Self { own, columns })
    }

    pub(crate) fn schema(&self) -> Option<&str> {
        self.own.get("schema").map(String::as_str)
    }

    /// Whether a mapping is in it.
    pub(crate) fn has_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    /// What a table that is no library's has no use for.
    pub(crate) fn check_custom(&self) -> Result<(), String> {
        match ["schema", "append_mode"].into_iter().find(|key| self.own.contains_key(*key)) {
            Some(key) => Err(format!(
                "{key} in [source] is for presets: the log custom has its schema in table = \"schema.table\""
            )),
            None => Ok(()),
        }
    }

    /// Marten draws positions in one of two ways, which only its configuration has.
    pub(crate) fn check_mode(&self, preset: &str) -> Result<(), String> {
        let refused = |sentence: &str| Err(sentence.to_owned());
        match (preset, self.own.get("append_mode").map(String::as_str)) {
            ("marten", Some("quick" | "rich")) => Ok(()),
            ("marten", None) => refused(
                "Marten's append_mode must be stated in [source]: \"quick\" if all writers use EventAppendMode.Quick, \
                 which is the default from version 9, and none of them bulk inserts; \"rich\" otherwise, which needs a \
                 column for the transaction (`evenfold source add-xid`)",
            ),
            ("marten", Some(other)) => {
                Err(format!("append_mode = \"{other}\" in [source]: it must be \"quick\" or \"rich\""))
            }
            (_, Some(_)) => refused("append_mode in [source] is for the preset marten: leave it out"),
            (_, None) => Ok(()),
        }
    }

    /// Whether the log has a column for the transaction: Marten's Rich mode draws positions before the transaction that
    /// uses them.
    fn has_transactions(&self) -> bool {
        let is = |values: &BTreeMap<String, String>, key: &str, wanted: &str| {
            values.get(key).is_some_and(|value| value == wanted)
        };
        is(&self.columns, "positions", "xid") || is(&self.own, "append_mode", "rich")
    }

    /// Puts what is in it into a mapping.
    pub(crate) fn apply(&self, mapping: &mut Mapping) {
        if let Some(name) = self.own.get("name") {
            name.clone_into(&mut mapping.name);
        }
        for (key, value) in &self.columns {
            let value = value.clone();
            match key.as_str() {
                "table" => mapping.table = value,
                "position" => mapping.position = value,
                "positions" if value == "serial" => mapping.positions = Some(Positions::Serial),
                "positions" | "sequence" | "xid" => {}
                "aggregate_type" => mapping.aggregate_type = value,
                "aggregate_id" => mapping.aggregate_id = value,
                "version" => mapping.version = Some(value).filter(|value| !value.is_empty()),
                // It is one of the two: see `check`.
                "first_version" => mapping.first_version = i64::from(value == "1"),
                "event_id" => mapping.event_id = Some(value),
                "event_type" => mapping.event_type = value,
                "payload" => mapping.payload = value,
                "payload_encoding" if value == "utf8" => mapping.payload_as = Payload::Bytes,
                "payload_encoding" => mapping.payload_as = Payload::Text,
                "metadata" => mapping.metadata = Some(value),
                "recorded_at" => mapping.recorded_at = Some(value),
                "where" => mapping.filter = Some(value),
                other => unreachable!("{other} is none of the keys"),
            }
        }
        if self.has_transactions() {
            let column = self.columns.get("xid").map_or(XID_COLUMN, String::as_str);
            mapping.positions = Some(Positions::Xid(column.to_owned()));
        } else if let Some(sequence) = self.columns.get("sequence") {
            mapping.positions = Some(Positions::Sequence(sequence.clone()));
        } else if self.columns.get("positions").is_some_and(|value| value == "sequence") {
            mapping.positions = None;
        }
    }
}

fn texts(called: &str, table: toml::Table) -> Result<BTreeMap<String, String>, String> {
    let text = |(key, value)| match value {
        toml::Value::String(text) => Ok((key, text)),
        toml::Value::Integer(number) => Ok((key, number.to_string())),
        _ => Err(format!("{key} in [{called}] must be a text or a whole number")),
    };
    table.into_iter().map(text).collect()
}

fn known(called: &str, values: &BTreeMap<String, String>, keys: &[&str]) -> Result<(), String> {
    match values.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => {
            Err(format!("[{called}] has the key {key}, which is not a setting; these are: {}", keys.join(", ")))
        }
        None => Ok(()),
    }
}

/// What must be one of a few.
fn check(columns: &BTreeMap<String, String>) -> Result<(), String> {
    let one_of = |key: &str, values: &[&str]| match columns.get(key) {
        Some(value) if !values.contains(&value.as_str()) => {
            Err(format!("{key} in [source.custom] is {value}: it must be {}", values.join(" or ")))
        }
        _ => Ok(()),
    };
    one_of("positions", &["sequence", "serial", "xid"])?;
    one_of("first_version", &["0", "1"])?;
    one_of("payload_encoding", &["utf8", "none"])?;
    for (key, other) in [("sequence", "serial"), ("sequence", "xid"), ("xid", "sequence"), ("xid", "serial")] {
        if columns.contains_key(key) && columns.get("positions").is_some_and(|value| value == other) {
            return Err(format!("{key} in [source.custom] is for positions = \"{key}\": leave one of the two out"));
        }
    }
    if let Some((key, _)) = columns.iter().find(|(key, value)| value.trim().is_empty() && *key != "version") {
        return Err(format!("{key} in [source.custom] is empty: leave it out, or name a column or an expression"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SourceSettings, String> {
        SourceSettings::of(text.parse().unwrap())
    }

    #[test]
    fn a_table_that_cant_be_followed_is_refused_in_one_sentence() {
        let cases = [
            (
                "pre_set = 'x'",
                "[source] has the key pre_set, which is not a setting; these are: url, rows_from, preset",
            ),
            ("custom = 3", "custom must be a table: [source.custom]"),
            (
                "[custom]\nids = 'x'",
                "[source.custom] has the key ids, which is not a setting; these are: table, position",
            ),
            (
                "[custom]\npositions = 'any'",
                "positions in [source.custom] is any: it must be sequence or serial or xid",
            ),
            ("[custom]\npositions = 'serial'\nxid = 'x'", "xid in [source.custom] is for positions = \"xid\""),
            ("[custom]\nfirst_version = 2", "first_version in [source.custom] is 2: it must be 0 or 1"),
            (
                "[custom]\npayload_encoding = 'gzip'",
                "payload_encoding in [source.custom] is gzip: it must be utf8 or none",
            ),
            ("[custom]\nsequence = 's'\npositions = 'serial'", "leave one of the two out"),
            ("[custom]\nevent_id = ''", "event_id in [source.custom] is empty"),
            ("name = 'a; b'", "name in [source] must have characters, and none of them may be a semicolon"),
            ("name = ' '", "name in [source] must have characters, and none"),
            ("schema = [1]", "schema in [source] must be a text or a whole number"),
        ];
        for (text, expected) in cases {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(expected) && !refused.contains('\n'), "{text}: {refused}");
        }
    }

    #[test]
    fn single_lines_take_the_place_of_a_preset_s() {
        let settings = read("name = 'shop'\n[custom]\nwhere = 'e.a'\nsequence = 's'\nversion = ''").unwrap();
        let mut mapping = evenfold::log::foreign::Preset::named("emmett").unwrap().mapping(None);
        let before = mapping.clone();
        settings.apply(&mut mapping);
        let expected = Mapping {
            name: "shop".to_owned(),
            filter: Some("e.a".to_owned()),
            positions: Some(Positions::Sequence("s".to_owned())),
            version: None,
            ..before
        };
        assert_eq!(mapping, expected);
    }

    #[test]
    fn a_log_has_a_column_for_the_transaction_where_that_or_martens_rich_mode_is_configured() {
        let positions = |text: &str| {
            let mut mapping = Mapping::default();
            read(text).unwrap().apply(&mut mapping);
            mapping.positions
        };
        let xid = |column: &str| Some(Positions::Xid(column.to_owned()));
        assert_eq!(positions("append_mode = 'rich'"), xid("xid"));
        assert_eq!(positions("append_mode = 'rich'\n[custom]\nxid = 'tx'"), xid("tx"));
        assert_eq!(positions("[custom]\npositions = 'xid'"), xid("xid"));
        assert_eq!(positions("append_mode = 'quick'\n[custom]\npositions = 'sequence'"), None);
    }
}
