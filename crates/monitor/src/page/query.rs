//! What comes after the question mark.

use super::error::{PageError, PageErrorCode};
use evenfold_http::percent;

/// The value of a parameter that must be given once, decoded as forms are.
pub(super) fn one(query: &str, name: &str) -> Result<String, PageError> {
    let wrong = |message: String| PageError::new(PageErrorCode::InvalidQuery, message);
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut given = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let (Some(value), None) = (given.next(), given.next()) else {
        return Err(wrong(format!("give {name} once in the query")));
    };
    match percent::decoded(&value.replace('+', " ")) {
        // PostgreSQL has no such texts.
        Ok(value) if value.contains('\0') => Err(wrong(format!("{name} has the character 0; leave it out"))),
        Ok(value) => Ok(value.into_owned()),
        Err(_) => Err(wrong(format!("{name} must be percent-encoded UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_given_once_and_decoded_as_forms_are() {
        assert_eq!(one("projection=a+b%2Bc&x=1", "projection").unwrap(), "a b+c");
        assert_eq!(one("projection=", "projection").unwrap(), "");
        for wrong in ["", "project=a", "projection=a&projection=a", "projection=%zz", "projection=%00"] {
            assert!(one(wrong, "projection").is_err(), "{wrong}");
        }
    }
}
