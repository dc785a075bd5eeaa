//! Relations between topic filters: whether they have topics in common, and whether one matches
//! all that the other does. Filters are valid and have no `$share/GROUP/`.

/// A filter, and whether its wildcards at the first level match topics that begin with `$`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filter<'a> {
    /// The topic filter.
    pub(super) text: &'a str,
    /// False as in a subscription [MQTT-4.7.2-1]. True for deny rules: what `#` denies is
    /// denied everywhere.
    pub(super) matches_dollar: bool,
}

impl<'a> Filter<'a> {
    /// A filter with the rules of a subscription.
    pub(super) fn of_subscription(text: &'a str) -> Self {
        Self { text, matches_dollar: false }
    }

    /// True if the topic matches.
    #[cfg(test)]
    fn matches(self, topic: &str) -> bool {
        if topic.starts_with('$') && self.hides_dollar() {
            return false;
        }
        let mut names = topic.split('/');
        for level in self.levels() {
            // `#` also matches the parent level, so no name may be left.
            if level == "#" {
                return true;
            }
            match names.next() {
                Some(name) if level == "+" || level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// True if a topic matches both.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.common_levels(other, |_| {})
    }

    /// The filter of the topics that match both, and whether it matches topics that begin with
    /// `$`; `None` if there are none. The topics that two filters have in common are always
    /// those of one filter.
    pub(super) fn intersection(self, other: Self) -> Option<(String, bool)> {
        let mut common = String::new();
        let overlaps = self.common_levels(other, |level| {
            common.push_str(level);
            common.push('/');
        });
        if !overlaps {
            return None;
        }
        // Each level was followed by a slash, and there is at least one.
        common.pop();
        Some((common, self.matches_dollar && other.matches_dollar))
    }

    /// Passes the levels of the filter of common topics to `add`. False: there are none.
    fn common_levels(self, other: Self, mut add: impl FnMut(&'a str)) -> bool
    where
        Self: 'a,
    {
        let is_dollar = |filter: Self| filter.text.starts_with('$');
        if (is_dollar(self) && other.hides_dollar()) || (is_dollar(other) && self.hides_dollar()) {
            return false;
        }
        let (mut left, mut right) = (self.levels(), other.levels());
        loop {
            match (left.next(), right.next()) {
                (None, None) => return true,
                // All that is left of the other one, down to nothing: the parent level.
                (Some("#"), rest) => {
                    rest.into_iter().chain(right).for_each(add);
                    return true;
                }
                (rest, Some("#")) => {
                    rest.into_iter().chain(left).for_each(add);
                    return true;
                }
                (Some("+"), Some(level)) | (Some(level), Some("+")) => add(level),
                (Some(one), Some(two)) if one == two => add(one),
                _ => return false,
            }
        }
    }

    /// True if every topic that matches `inner` matches this.
    pub(super) fn contains(self, inner: Filter<'_>) -> bool {
        if self.hides_dollar() && !inner.hides_dollar() {
            // `inner` matches topics that begin with `$`, or is one level without wildcards.
            if inner.text.starts_with('$') || inner.begins_with_wildcard() {
                return false;
            }
        }
        let (mut outer, mut inner) = (self.levels(), inner.levels());
        loop {
            match (outer.next(), inner.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(level)) if level != "#" => {}
                (Some(one), Some(two)) if one == two => {}
                _ => return false,
            }
        }
    }

    fn levels(self) -> std::str::Split<'a, char> {
        self.text.split('/')
    }

    fn begins_with_wildcard(self) -> bool {
        matches!(self.levels().next(), Some("+" | "#"))
    }

    /// True if its first level is a wildcard that does not match topics beginning with `$`.
    fn hides_dollar(self) -> bool {
        !self.matches_dollar && self.begins_with_wildcard()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> Filter<'_> {
        Filter::of_subscription(text)
    }

    fn everywhere(text: &str) -> Filter<'_> {
        Filter { text, matches_dollar: true }
    }

    #[test]
    fn two_filters_have_the_topics_of_one_filter_in_common() {
        let common = |one: &str, two: &str| {
            let common = filter(one).intersection(filter(two));
            assert_eq!(filter(two).intersection(filter(one)), common);
            assert_eq!(filter(one).overlaps(filter(two)), common.is_some());
            common.map(|(text, _)| text)
        };
        assert_eq!(common("a/+", "+/b").as_deref(), Some("a/b"));
        assert_eq!(common("a/#", "a").as_deref(), Some("a"));
        assert_eq!(common("a/#", "+/b/#").as_deref(), Some("a/b/#"));
        assert_eq!(common("a/b/#", "a/+").as_deref(), Some("a/b"));
        assert_eq!(common("#", "a/+/c").as_deref(), Some("a/+/c"));
        assert_eq!(common("a/b", "a/c"), None);
        assert_eq!(common("a/+", "a"), None);
        assert_eq!(common("#", "$SYS/#"), None);
    }

    #[test]
    fn a_filter_that_matches_dollar_topics_contains_one_that_does_not() {
        assert!(everywhere("#").contains(filter("#")) && !filter("#").contains(everywhere("#")));
        assert!(everywhere("#").contains(filter("$SYS/#")));
        assert!(!filter("#").contains(filter("$SYS/#")) && !filter("+/a").contains(filter("$x/a")));
        assert!(filter("#").contains(filter("a/#")) && filter("a/#").contains(filter("a")));
        assert!(!filter("a/+").contains(filter("a/#")) && !filter("a").contains(filter("a/#")));
    }

    /// All topics of up to three levels of these names.
    fn topics() -> Vec<String> {
        let names = ["", "a", "b", "$s"];
        let mut topics = Vec::new();
        for one in names {
            topics.push(one.to_owned());
            for two in names {
                topics.push(format!("{one}/{two}"));
                topics.extend(names.map(|three| format!("{one}/{two}/{three}")));
            }
        }
        topics.retain(|topic| !topic.is_empty());
        topics
    }

    fn any_filter() -> impl Strategy<Value = (String, bool)> {
        let level = prop_oneof![Just("a"), Just("b"), Just("+"), Just("$s"), Just("")];
        (proptest::collection::vec(level, 0..=3), any::<bool>(), any::<bool>()).prop_filter_map(
            "an empty filter",
            |(mut levels, rest, matches_dollar)| {
                if rest {
                    levels.push("#");
                }
                let text = levels.join("/");
                (!text.is_empty()).then_some((text, matches_dollar))
            },
        )
    }

    fn of((text, matches_dollar): &(String, bool)) -> Filter<'_> {
        Filter { text, matches_dollar: *matches_dollar }
    }

    proptest! {
        #[test]
        fn an_intersection_matches_what_both_match(one in any_filter(), two in any_filter()) {
            let common = of(&one).intersection(of(&two));
            for topic in topics() {
                let both = of(&one).matches(&topic) && of(&two).matches(&topic);
                let found = common.as_ref().is_some_and(|common| of(common).matches(&topic));
                prop_assert_eq!(both, found, "{}", topic);
            }
        }

        #[test]
        fn what_contains_a_filter_matches_all_that_it_matches(
            outer in any_filter(),
            inner in any_filter(),
        ) {
            let (outer, inner) = (of(&outer), of(&inner));
            if outer.contains(inner) {
                for topic in topics() {
                    prop_assert!(!inner.matches(&topic) || outer.matches(&topic), "{}", topic);
                }
            }
        }
    }
}
