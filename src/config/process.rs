//! A configuration as this process loads it: a file, under what the variables of its environment say.

use std::path::Path;

use super::types::Config;
use crate::feed::Fault;

impl Config {
    /// Loads a file, or the defaults, under the variables of this process.
    ///
    /// # Errors
    /// Those of [`Config::load`].
    pub fn load_here(path: Option<&Path>) -> Result<Self, Vec<Fault>> {
        // A variable that is no text cannot be one of ours, whose names are ASCII; a value that is none is a fault of its
        // own.
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.to_string_lossy().into_owned())));
        Self::load(path, environment)
    }
}
