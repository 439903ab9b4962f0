//! Any expression: it is refused, or its bytes are those of the text that they are turned into again. The first byte is the purpose.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_dax::wire::expression::{Expressions, Purpose, Texts, decode_projection};

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some((purpose, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let names = HashMap::from(["#a", "#b"].map(|name| (name.to_owned(), format!("a name.of {name}[0]"))));
    let values = HashMap::from([
        (":s".to_owned(), AttributeValue::S("text".to_owned())),
        (":n".to_owned(), AttributeValue::N("-1.5".to_owned())),
        (":l".to_owned(), AttributeValue::L(vec![AttributeValue::Null(true)])),
    ]);
    let mut expressions = Expressions::new(Some(&names), Some(&values));
    let purpose = match purpose % 5 {
        0 => {
            let Ok((encoded, paths)) = expressions.projection(text) else { return };
            assert_eq!(decode_projection(&encoded), Ok(paths));
            return;
        }
        1 => Purpose::Condition,
        2 => Purpose::Filter,
        3 => Purpose::KeyCondition,
        _ => Purpose::Update,
    };
    let Ok(encoded) = expressions.encode(purpose, text) else { return };
    let mut texts = Texts::default();
    // What one level of the text adds to the tree has no fixed depth.
    let Ok(text) = texts.text(&encoded, purpose) else { return };
    let again = Expressions::new(Some(&texts.names), Some(&texts.values)).encode(purpose, &text);
    assert_eq!(again.as_ref(), Ok(&encoded), "{text}");
}
