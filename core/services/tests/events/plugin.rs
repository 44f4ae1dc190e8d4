//! A plugin that hears of events, as the host sees it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use camlock_policy::{Body, BoxFuture, Deliver, Delivered, Delivery, Undelivered};
use http::Response;
use parking_lot::Mutex;
use serde_json::Value;
use std::{collections::HashMap, time::Duration};

/// An event that its handler was called with.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub topic: String,
    pub payload: Value,
    pub position: u64,
    pub attempt: u32,
    pub trace_id: [u8; 16],
}

#[derive(Default)]
pub struct FakePlugin {
    pub heard: Mutex<Vec<Heard>>,
    /// How often events that say so fail, by what `fail` says.
    pub failures: Mutex<HashMap<String, u32>>,
    pub is_gone: Mutex<bool>,
}

impl FakePlugin {
    /// Those that were handled, once there are so many.
    pub async fn until_heard(&self, count: usize) -> Vec<Heard> {
        loop {
            let heard = self.heard.lock().clone();
            if heard.len() >= count {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn handle(&self, event: Heard) -> Result<(), String> {
        let fails = event.payload["fail"].as_str().map(str::to_owned);
        self.heard.lock().push(event);
        let mut failures = self.failures.lock();
        match fails.and_then(|why| failures.get_mut(&why)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err("the disk is full".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn batch(&self, mut batch: Bytes) -> Bytes {
        let in_order = batch.get_u8() != 0;
        let length = usize::from(batch.get_u16_le());
        assert_eq!(batch.split_to(length), "all");
        let (mut failures, mut place) = (BytesMut::new(), 0_u16);
        while !batch.is_empty() {
            let length = batch.get_u32_le() as usize;
            let mut event = batch.split_to(length);
            let (position, attempt) = (event.get_u64_le(), event.get_u32_le());
            let length = usize::from(event.get_u16_le());
            let topic = String::from_utf8(event.split_to(length).to_vec()).unwrap();
            let trace_id = event.get_u128_le().to_le_bytes();
            let (_at, _depth) = (event.get_u64_le(), event.get_u32_le());
            let payload = serde_json::from_slice(&event).unwrap();
            if let Err(why) = self.handle(Heard { topic, payload, position, attempt, trace_id }) {
                failures.put_u16_le(place);
                failures.put_u8(0);
                failures.put_u32_le(why.len() as u32);
                failures.put_slice(why.as_bytes());
                if in_order {
                    break;
                }
            }
            place += 1;
        }
        failures.freeze()
    }
}

impl Deliver for FakePlugin {
    fn deliver(&self, plugin: &str, delivery: Delivery) -> BoxFuture<Result<Delivered, Undelivered>> {
        assert_eq!((plugin, delivery.request.uri().path()), ("shop", "/events/1"));
        let answer = if *self.is_gone.lock() {
            Err(Undelivered::NotServing("it is away".to_owned()))
        } else {
            let told = self.batch(delivery.request.into_body().into_whole().expect("it comes whole"));
            Ok(Delivered { generation: 1, response: Response::new(Body::from(told)) })
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer
        })
    }
}
