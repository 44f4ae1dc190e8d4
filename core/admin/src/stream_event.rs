//! How a stream's events are described: each is text whose data is JSON of its own. What they say does not live here.

use std::{borrow::Cow, marker::PhantomData};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, Ref, RefOr, Schema, Type},
};

/// An event of a stream whose `data` is a `T`. It is never made: it is there for the document alone.
pub(super) struct StreamEvent<T>(PhantomData<T>);

impl<T: ToSchema> PartialSchema for StreamEvent<T> {
    fn schema() -> RefOr<Schema> {
        let data = ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/json")
            .content_schema(Some(Ref::from_schema_name(T::name())));
        ObjectBuilder::new().schema_type(Type::Object).property("data", data).required("data").into()
    }
}

impl<T: ToSchema> ToSchema for StreamEvent<T> {
    fn name() -> Cow<'static, str> {
        format!("StreamEvent{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}
