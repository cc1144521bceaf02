//! What a route takes and answers, for the OpenAPI document. Its method and path, who may ask and how it fails follow
//! from the [`Route`](super::route::Route).

use super::auth::{Access, Scheme};
use super::codes::{self, Code};
use super::curl::Sample;
use super::error;
use super::method::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, OneOfBuilder, SchemaFormat, SchemaType};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Object, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

const JSON: &str = "application/json";

/// The schemas of types, by their names.
type Schemas = Vec<(String, RefOr<Schema>)>;

/// An operation of the document while it is made.
pub struct Documented {
    path: &'static str,
    sample: Sample,
    operation: OperationBuilder,
    responses: BTreeMap<u16, Response>,
    schemas: Schemas,
}

/// An answer that is no error.
pub struct DocumentedAnswer {
    response: ResponseBuilder,
    schemas: Schemas,
}

/// A text, with what it must be like.
#[must_use]
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// True or false.
#[must_use]
pub fn boolean() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

/// A whole number of 32 bits, with what it must be like.
#[must_use]
pub fn number() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
}

/// An example of JSON. One that is no JSON would be shown as a text: that none is, is tested.
fn example(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| json.into())
}

/// Refers to a type, whose schema is added.
fn refer<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

impl DocumentedAnswer {
    /// An answer without a body.
    #[must_use]
    pub fn empty(description: &str) -> Self {
        Self { response: ResponseBuilder::new().description(description), schemas: Vec::new() }
    }

    /// An answer of this type, as JSON, and an example of it.
    #[must_use]
    pub fn json<T: ToSchema>(description: &str, json: &str) -> Self {
        let Self { response, mut schemas } = Self::empty(description);
        let content = ContentBuilder::new().schema(Some(refer::<T>(&mut schemas))).example(Some(example(json)));
        Self { response: response.content(JSON, content.build()), schemas }
    }

    /// A text of this type, and an example of it.
    #[must_use]
    pub fn text(description: &str, kind: &str, example: &str) -> Self {
        let Self { response, schemas } = Self::empty(description);
        let content = ContentBuilder::new().schema(Some(text())).example(Some(example.into()));
        Self { response: response.content(kind, content.build()), schemas }
    }

    /// With this header, which is a text.
    #[must_use]
    pub fn header(self, name: &str, description: &str) -> Self {
        let mut header = Header::new(text());
        header.description = Some(description.to_owned());
        Self { response: self.response.header(name, header), ..self }
    }
}

impl Documented {
    pub(crate) fn new(method: Method, path: &'static str) -> Self {
        let (operation, responses, schemas) = (OperationBuilder::new(), BTreeMap::new(), Vec::new());
        Self { path, sample: Sample::new(method, path), operation, responses, schemas }
    }

    /// A name, and what it is in a few words.
    #[must_use]
    pub fn operation(mut self, id: &str, tag: &str, summary: &str) -> Self {
        self.operation = self.operation.operation_id(Some(id)).tag(tag).summary(Some(summary));
        self
    }

    /// What it is in some more words, in Markdown.
    #[must_use]
    pub fn description(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// What the parameter in the path is, and an example of it, which needs no percent-encoding.
    #[must_use]
    pub fn in_path<T: ToSchema>(mut self, description: &str, example: &'static str) -> Self {
        let schema = refer::<T>(&mut self.schemas);
        self.path_parameter(schema, description, example)
    }

    /// As [`in_path`](Self::in_path), with the schema in its place instead of a reference.
    #[must_use]
    pub fn inline_in_path<T: PartialSchema>(self, description: &str, example: &'static str) -> Self {
        self.path_parameter(T::schema(), description, example)
    }

    fn path_parameter(mut self, schema: RefOr<Schema>, description: &str, example: &'static str) -> Self {
        let name = self.path.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(name, _)| name);
        self.sample.set_parameter(name, example);
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        self.parameter(parameter.schema(Some(schema)).description(Some(description)).example(Some(example.into())))
    }

    /// A header that may be left out, and an example of it.
    #[must_use]
    pub fn header(self, name: &str, schema: ObjectBuilder, description: &str, example: &str) -> Self {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
        self.may_be_left_out(parameter, schema, description, example.into())
    }

    /// A parameter of the query that may be left out, and an example of it.
    #[must_use]
    pub fn in_query(mut self, name: &str, schema: ObjectBuilder, description: &str, example: impl Into<Value>) -> Self {
        let example = example.into();
        self.sample.add_to_query(name, &example);
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        self.may_be_left_out(parameter, schema, description, example)
    }

    fn may_be_left_out(
        self,
        parameter: ParameterBuilder,
        schema: ObjectBuilder,
        description: &str,
        example: Value,
    ) -> Self {
        let parameter = parameter.required(Required::False).schema(Some(Object::from(schema)));
        self.parameter(parameter.description(Some(description)).example(Some(example)))
    }

    fn parameter(mut self, parameter: ParameterBuilder) -> Self {
        self.operation = self.operation.parameter(parameter.build());
        self
    }

    /// The body, which is JSON, and an example of it.
    #[must_use]
    pub fn body<T: ToSchema>(mut self, json: &'static str) -> Self {
        let schema = refer::<T>(&mut self.schemas);
        self.with_body(schema, Some(Required::True), json)
    }

    /// A body that is JSON, or null, or is left out, and an example of it.
    #[must_use]
    pub fn optional_body<T: ToSchema>(mut self, json: &'static str) -> Self {
        let null = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
        let schema = OneOfBuilder::new().item(refer::<T>(&mut self.schemas)).item(null);
        self.with_body(Schema::from(schema).into(), None, json)
    }

    fn with_body(mut self, schema: RefOr<Schema>, required: Option<Required>, json: &'static str) -> Self {
        self.sample.set_body(json);
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example(json))).build();
        let body = RequestBodyBuilder::new().content(JSON, content).required(required).build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// The answer is a stream, which is read as it comes.
    #[must_use]
    pub fn stream(mut self) -> Self {
        self.sample.set_stream();
        self
    }

    /// An answer that is no error.
    #[must_use]
    pub fn answer(mut self, status: u16, answer: DocumentedAnswer) -> Self {
        self.responses.insert(status, answer.response.build());
        self.schemas.extend(answer.schemas);
        self
    }

    /// Adds what follows from who may ask, and from how it can fail. `token` is where the sample has the token, if it
    /// needs one.
    pub(crate) fn finish<C: Code>(
        mut self,
        access: Access,
        token: Option<Scheme>,
        codes: &[C],
    ) -> (OperationBuilder, Schemas) {
        for (status, codes) in by_status(codes) {
            self.responses.insert(status, failed(status, &codes));
        }
        let mut operation = self.operation.extensions(Some(self.sample.documented(token)));
        for (status, response) in self.responses {
            operation = operation.response(status.to_string(), response);
        }
        if access != Access::Open {
            // Where there is no token, none is needed.
            operation = operation.security(SecurityRequirement::default());
            operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>("token", []));
        }
        (operation, self.schemas)
    }
}

fn by_status<C: Code>(codes: &[C]) -> BTreeMap<u16, Vec<C>> {
    let mut all = BTreeMap::<u16, Vec<C>>::new();
    for code in codes {
        all.entry(code.status().as_u16()).or_default().push(*code);
    }
    all
}

/// The answer with one of these codes.
fn failed<C: Code>(status: u16, codes: &[C]) -> Response {
    let described = codes.iter().map(|code| format!("`{}`: {}.", codes::name(*code), code.sentence()));
    let content = Content::new(Some(Ref::from_schema_name(error::BODY)));
    let response = ResponseBuilder::new().description(described.collect::<Vec<_>>().join(" ")).content(JSON, content);
    // See what the header is where the error becomes an answer.
    if status != 503 {
        return response.build();
    }
    let mut header = Header::new(u64::schema());
    header.description = Some("Seconds.".to_owned());
    response.header("Retry-After", header).build()
}
