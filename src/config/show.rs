//! The effective configuration as text.

use super::Config;

impl Config {
    /// As TOML that can be used as a configuration file. Secrets are masked.
    ///
    /// # Errors
    /// None is known: every value can be written in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// As JSON, with the same keys.
    ///
    /// # Errors
    /// None is known, as for [`Config::to_toml`].
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_is_shown_is_a_configuration_file() {
        let shown = Config::default().to_toml().unwrap();
        assert_eq!(toml::from_str::<Config>(&shown).unwrap(), Config::default());
        let shown = Config::default().to_json().unwrap();
        assert_eq!(serde_json::from_str::<Config>(&shown).unwrap(), Config::default());
    }
}
