//! Which function a request is for.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::percent_decode_str;
use platform::Function;

use crate::template::{Route, TemplateError};

/// The route key of what no other route takes.
const DEFAULT: &str = "$default";

/// The routes of `template.yaml`, matched as an HTTP API matches them.
pub(crate) struct Routes {
    paths: matchit::Router<Vec<Candidate>>,
    /// `$default`.
    otherwise: Option<&'static Function>,
}

struct Candidate {
    method: String,
    /// As in the template, for `routeKey`.
    path: String,
    parameters: Vec<String>,
    function: &'static Function,
}

/// A request's route.
pub(crate) struct Matched<'a> {
    /// The function to invoke.
    pub(crate) function: &'static Function,
    /// `METHOD /path/{template}`.
    pub(crate) route_key: String,
    /// The path's parameters, percent-decoded.
    pub(crate) parameters: HashMap<&'a str, String>,
}

impl Routes {
    /// # Errors
    /// When a route names a function that is not in `functions`, or two routes cannot be told apart.
    pub(crate) fn new(
        routes: &[Route],
        default_function: Option<&str>,
        functions: &'static [Function],
    ) -> Result<Self, TemplateError> {
        let function = |name: &str, route: &str| {
            functions.iter().find(|function| function.name == name).ok_or_else(|| {
                let problem = format!("{route} is for the function {name}, which this program does not have");
                TemplateError::Shape(problem)
            })
        };
        let mut patterns: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for route in routes {
            let function = function(&route.function, &format!("{} {}", route.method, route.path))?;
            let (pattern, parameters) = pattern(&route.path);
            let candidates = patterns.entry(pattern).or_default();
            if candidates.iter().any(|other| other.method == route.method) {
                return Err(TemplateError::Shape(format!("{} {} is routed twice", route.method, route.path)));
            }
            candidates.push(Candidate { method: route.method.clone(), path: route.path.clone(), parameters, function });
        }
        let mut paths = matchit::Router::new();
        for (pattern, candidates) in patterns {
            paths
                .insert(pattern.clone(), candidates)
                .map_err(|error| TemplateError::Shape(format!("the route {pattern} cannot be matched: {error}")))?;
        }
        let otherwise = default_function.map(|name| function(name, DEFAULT)).transpose()?;
        Ok(Self { paths, otherwise })
    }

    /// Finds the route of `path`, as it came on the wire; `$default` if no other takes it.
    ///
    /// Repeated slashes count as one: clients append `/v1/…` to a `webServiceURL` that may end in a slash
    /// (reference 1.2). In the cloud such a path comes to `$default`, and `mend-path` sends it where this goes at once.
    pub(crate) fn find(&self, method: &http::Method, path: &str) -> Option<Matched<'_>> {
        let otherwise = self.otherwise.map(|function| Matched {
            function,
            route_key: DEFAULT.to_owned(),
            parameters: HashMap::new(),
        });
        self.find_exactly(method, path).or(otherwise)
    }

    fn find_exactly(&self, method: &http::Method, path: &str) -> Option<Matched<'_>> {
        let collapsed = collapse_slashes(path);
        let found = self.paths.at(&collapsed).ok()?;
        let by_method = |wanted: &str| found.value.iter().find(|candidate| candidate.method == wanted);
        let candidate = by_method(method.as_str()).or_else(|| by_method("ANY"))?;
        let values = found.params.iter().map(|(_, value)| value);
        let parameters = candidate.parameters.iter().zip(values);
        Some(Matched {
            function: candidate.function,
            route_key: format!("{} {}", candidate.method, candidate.path),
            parameters: parameters
                .map(|(name, value)| (name.as_str(), percent_decode_str(value).decode_utf8_lossy().into_owned()))
                .collect(),
        })
    }
}

/// `/a/{b}/{c+}` as matchit writes it, and the parameters' names. Names are replaced by positions, since two routes may
/// name the same segment differently.
fn pattern(path: &str) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let segments = path.split('/').map(|segment| {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return segment.to_owned();
        };
        let position = names.len();
        match name.strip_suffix('+') {
            Some(greedy) => {
                names.push(greedy.to_owned());
                format!("{{*p{position}}}")
            }
            None => {
                names.push(name.to_owned());
                format!("{{p{position}}}")
            }
        }
    });
    let pattern = segments.collect::<Vec<_>>().join("/");
    (pattern, names)
}

fn collapse_slashes(path: &str) -> String {
    let mut collapsed = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !collapsed.ends_with('/') {
            collapsed.push(letter);
        }
    }
    collapsed
}

#[cfg(test)]
mod tests;
