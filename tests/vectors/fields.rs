//! The layout of each packet, written out by hand: so that the short player, which encodes by it, shows that it is right.

use serde_json::{Value, json};

/// By name: the code, and the fields in order.
pub fn layouts() -> Value {
    let siblings = json!({"server": "number", "address": "address", "port": "number"});
    let neighbours = json!({"server": "number", "stamp": "number"});
    let chunk = json!({"transfer_id": "number", "file_name": "text", "chunks": "number", "content": "chunk"});
    let with_chunk = |mut fields: Value| {
        fields.as_object_mut().unwrap().extend(chunk.as_object().unwrap().clone());
        fields
    };
    let merge = json!({"server": "number", "siblings": siblings});
    let rows = [
        ("AUTHGST", "00", json!({"nickname": "text"})),
        ("AUTHUSR", "01", json!({"nickname": "text", "password": "text"})),
        ("AUTHRSP", "10", json!({"response": "byte"})),
        ("MSGPBL", "20", json!({"message": "text"})),
        ("MSGPRV", "21", json!({"destination": "number", "receiver": "text", "message": "text"})),
        ("MSGPBLINC", "30", json!({"origin": "number", "sender": "text", "message": "text"})),
        ("MSGPRVINC", "31", json!({"origin": "number", "sender": "text", "receiver": "text", "message": "text"})),
        ("FILECHNK", "40", with_chunk(json!({"destination": "number", "receiver": "text"}))),
        ("FILECHNKINC", "41", with_chunk(json!({"origin": "number", "sender": "text", "receiver": "text"}))),
        ("PCKFWD", "50", json!({"destination": "number", "content": "packet"})),
        (
            "RELAY",
            "51",
            json!({
                "destination": "number", "origin": "number", "incarnation": "number", "number": "number",
                "content": "packet",
            }),
        ),
        (
            "LINKS",
            "52",
            json!({
                "server": "number", "address": "address", "port": "number", "incarnation": "number",
                "version": "number", "neighbours": neighbours,
            }),
        ),
        ("HOLD", "53", json!({"server": "number", "is_held": "byte"})),
        ("HELLO", "54", json!({"stamp": "number"})),
        ("MRGREQ", "a0", merge.clone()),
        ("MRGRSP", "a1", merge),
        ("MRGDECL", "a2", json!({"reason": "byte"})),
        ("ERROR", "f0", json!({"sender": "text", "reason": "byte"})),
    ];
    let each = |(name, code, fields): (&str, &str, Value)| (name.to_owned(), json!({"code": code, "fields": fields}));
    rows.into_iter().map(each).collect()
}
