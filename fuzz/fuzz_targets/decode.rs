//! Decoding never panics, never hangs and never gives more elements than there are bytes, even of
//! bytes that no scanner passed.

#![no_main]

use std::collections::{BTreeMap, HashMap, HashSet};

use libfuzzer_sys::fuzz_target;
use redial_resp::{Bytes, Frame, FromReply, OwnedValue, ServerError};

fn decode<T: FromReply>(frame: &Frame) {
    if let Err(error) = frame.decode::<T>() {
        assert!(!error.to_string().is_empty());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let frame = Frame::from_scanned(Bytes::copy_from_slice(bytes));
    decode::<()>(&frame);
    decode::<bool>(&frame);
    decode::<i8>(&frame);
    decode::<u64>(&frame);
    decode::<i128>(&frame);
    decode::<f64>(&frame);
    decode::<String>(&frame);
    decode::<Vec<u8>>(&frame);
    decode::<Option<Bytes>>(&frame);
    decode::<HashSet<Bytes>>(&frame);
    decode::<HashMap<Bytes, Option<String>>>(&frame);
    decode::<BTreeMap<String, Vec<(Bytes, f64)>>>(&frame);
    decode::<(i64, Result<String, ServerError>, Frame)>(&frame);
    decode::<Vec<(String, Vec<(String, HashMap<String, String>)>)>>(&frame);
    decode::<OwnedValue>(&frame);

    let _ = (frame.is_push(), frame.error().map(ServerError::from), format!("{frame:?}"));
    let element = frame.element();
    let _ = (format!("{element:?}"), element.raw(), element.to_bytes());
    if let Some(elements) = element.elements() {
        assert!(elements.len() <= bytes.len());
        let announced = elements.len();
        assert!(elements.count() <= announced);
    }
});
