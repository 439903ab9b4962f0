//! The header `X-Amzn-Trace-Id`, which passes a trace from one service to the next.
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>

use opentelemetry::trace::SpanContext;
use opentelemetry_aws::trace::xray_propagator::span_context_from_str;

/// Lambda detects loops by `Lineage`, so it must be passed on.
const FIELDS: [&str; 4] = ["Root", "Parent", "Sampled", "Lineage"];

/// The parent in a header, if any.
pub(super) fn parse(header: &str) -> Option<SpanContext> {
    // With a field that it does not support, the propagator would reject the whole header.
    let known: Vec<_> = header
        .split(';')
        .map(str::trim)
        .filter(|field| field.split_once('=').is_some_and(|(name, _)| FIELDS.contains(&name)))
        .collect();
    span_context_from_str(&known.join(";")).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use opentelemetry_aws::trace::xray_propagator::span_context_to_string;
    use proptest::prelude::*;

    use super::*;

    const ROOT_AND_PARENT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8";

    #[test]
    fn the_header_goes_on_as_it_came() {
        for header in [
            format!("{ROOT_AND_PARENT};Sampled=1"),
            format!("{ROOT_AND_PARENT};Sampled=0"),
            format!("{ROOT_AND_PARENT};Sampled=1;Lineage=a87bd80c:1|68fd508a:5"),
        ] {
            let parent = parse(&header).expect("it names a parent");
            assert_eq!(span_context_to_string(&parent), Some(header));
        }
    }

    #[test]
    fn an_unknown_field_is_ignored() {
        let parent = parse(&format!("Self=1-0-0; {ROOT_AND_PARENT}; Sampled=1;Odd key=a=b,c")).expect("a parent");
        assert!(parent.is_sampled());
    }

    #[test]
    fn without_root_and_parent_there_is_no_parent() {
        for header in ["", "Sampled=1", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", "Parent=53995c3f42cd8ad8"]
        {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(
            text in any::<String>(),
            root in "[0-9a-fA-F+-]{0,40}|\\PC{0,20}",
            parent in "[0-9a-fA-F+-]{0,20}|\\PC{0,20}",
            rest in "(Sampled=[01?])?;?(Lineage=\\PC{0,20})?",
        ) {
            parse(&text);
            if let Some(parent) = parse(&format!("Root={root};Parent={parent};{rest}")) {
                prop_assert!(parent.is_valid());
            }
        }
    }
}
