//! What comes from a node, for the fuzz targets.

use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemInput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::operation::scan::ScanInput;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsInput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, Get, KeysAndAttributes, Put, ReturnValue, TransactGetItem, TransactWriteItem,
    WriteRequest,
};

use crate::connection::service_error;
use crate::known_table::{Here, key};
use crate::operations::Operation;
use crate::wire::cbor::{Decoder, Scanner};

fn read(operation: &impl Operation, response: &[u8]) {
    fn values<O: Operation>(_: &O) -> usize {
        O::VALUES
    }
    let encoded = operation.encode(&Here).expect("everything is known");
    let mut scanner = Scanner::default();
    if let Ok(true) = scanner.complete(response, 1 + values(operation)) {
        let mut decoder = Decoder::new(&response[..scanner.position]);
        decoder.skip().expect("it was scanned");
        // An error, or an output.
        let _ = operation.decode(&encoded, &Here, &mut decoder);
    }
    let _ = (service_error(response), operation.reasons(&Here, response));
}

/// Reads a node's response to one of the ten operations.
pub fn read_response(operation: u8, response: &[u8]) {
    const COMPLETE: &str = "the input is complete";
    let projection = "a.x[2], b, h";
    match operation % 12 {
        0 => read(&GetItemInput::builder().table_name("table").set_key(Some(key())).build().expect(COMPLETE), response),
        1 => {
            let input = GetItemInput::builder().table_name("table").set_key(Some(key()));
            read(&input.projection_expression(projection).build().expect(COMPLETE), response);
        }
        2 => {
            let input = PutItemInput::builder().table_name("table").set_item(Some(key()));
            read(&input.return_values(ReturnValue::AllOld).build().expect(COMPLETE), response);
        }
        3 => {
            let input = DeleteItemInput::builder().table_name("table").set_key(Some(key()));
            read(&input.return_values(ReturnValue::AllOld).build().expect(COMPLETE), response);
        }
        4 => {
            let input = UpdateItemInput::builder().table_name("table").set_key(Some(key()));
            let input = input.update_expression("REMOVE a").return_values(ReturnValue::UpdatedNew);
            read(&input.build().expect(COMPLETE), response);
        }
        5 => {
            let input = QueryInput::builder().table_name("table").key_condition_expression("h = :h");
            let input = input.expression_attribute_values(":h", AttributeValue::S("hash".to_owned()));
            read(&input.index_name("index").projection_expression(projection).build().expect(COMPLETE), response);
        }
        6 => read(&ScanInput::builder().table_name("table").build().expect(COMPLETE), response),
        7 => {
            let of = KeysAndAttributes::builder().keys(key()).build().expect(COMPLETE);
            read(&BatchGetItemInput::builder().request_items("table", of).build().expect(COMPLETE), response);
        }
        8 => {
            let of = KeysAndAttributes::builder().keys(key()).projection_expression(projection);
            let of = of.build().expect(COMPLETE);
            read(&BatchGetItemInput::builder().request_items("table", of).build().expect(COMPLETE), response);
        }
        9 => {
            let delete = DeleteRequest::builder().set_key(Some(key())).build().expect(COMPLETE);
            let writes = vec![WriteRequest::builder().delete_request(delete).build()];
            read(&BatchWriteItemInput::builder().request_items("table", writes).build().expect(COMPLETE), response);
        }
        10 => {
            let whole = Get::builder().table_name("table").set_key(Some(key()));
            let part = whole.clone().projection_expression(projection);
            let get = |get: Get| TransactGetItem::builder().get(get).build();
            let input = TransactGetItemsInput::builder().transact_items(get(whole.build().expect(COMPLETE)));
            let input = input.transact_items(get(part.build().expect(COMPLETE)));
            read(&input.build().expect(COMPLETE), response);
        }
        _ => {
            let put = Put::builder().table_name("table").set_item(Some(key())).build().expect(COMPLETE);
            let part = TransactWriteItem::builder().put(put).build();
            let input = TransactWriteItemsInput::builder().transact_items(part.clone()).transact_items(part);
            read(&input.build().expect(COMPLETE), response);
        }
    }
}
