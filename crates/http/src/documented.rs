//! What a route takes and answers, for the OpenAPI document. Its method and path, who may ask and how it fails follow
//! from the [`Route`](super::route::Route).

use super::auth::Access;
use super::codes::{self, Code};
use super::error;
use std::collections::BTreeMap;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
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

/// A whole number of 32 bits, with what it must be like.
#[must_use]
pub fn number() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
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

    /// An answer of this type, as JSON.
    #[must_use]
    pub fn json<T: ToSchema>(description: &str) -> Self {
        let Self { response, mut schemas } = Self::empty(description);
        let content = Content::new(Some(refer::<T>(&mut schemas)));
        Self { response: response.content(JSON, content), schemas }
    }

    /// A text of this type.
    #[must_use]
    pub fn text(description: &str, kind: &str) -> Self {
        let Self { response, schemas } = Self::empty(description);
        Self { response: response.content(kind, Content::new(Some(text()))), schemas }
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
    pub(crate) fn new(path: &'static str) -> Self {
        let (operation, responses, schemas) = (OperationBuilder::new(), BTreeMap::new(), Vec::new());
        Self { path, operation, responses, schemas }
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

    /// What the parameter in the path is.
    #[must_use]
    pub fn in_path<T: ToSchema>(mut self, description: &str) -> Self {
        let schema = refer::<T>(&mut self.schemas);
        self.path_parameter(schema, description)
    }

    /// As [`in_path`](Self::in_path), with the schema in its place instead of a reference.
    #[must_use]
    pub fn inline_in_path<T: PartialSchema>(self, description: &str) -> Self {
        self.path_parameter(T::schema(), description)
    }

    fn path_parameter(self, schema: RefOr<Schema>, description: &str) -> Self {
        let name = self.path.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(name, _)| name);
        self.parameter(name, ParameterIn::Path, Required::True, schema, description)
    }

    /// A header that may be left out.
    #[must_use]
    pub fn header(self, name: &str, schema: ObjectBuilder, description: &str) -> Self {
        self.parameter(name, ParameterIn::Header, Required::False, Object::from(schema).into(), description)
    }

    /// A parameter of the query that may be left out.
    #[must_use]
    pub fn in_query(self, name: &str, schema: ObjectBuilder, description: &str) -> Self {
        self.parameter(name, ParameterIn::Query, Required::False, Object::from(schema).into(), description)
    }

    fn parameter(
        mut self,
        name: &str,
        parameter_in: ParameterIn,
        required: Required,
        schema: RefOr<Schema>,
        description: &str,
    ) -> Self {
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(parameter_in)
            .required(required)
            .schema(Some(schema))
            .description(Some(description))
            .build();
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// The body, which is JSON.
    #[must_use]
    pub fn body<T: ToSchema>(mut self) -> Self {
        let content = Content::new(Some(refer::<T>(&mut self.schemas)));
        let body = RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True)).build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// A body that is JSON, or null, or is left out.
    #[must_use]
    pub fn optional_body<T: ToSchema>(mut self) -> Self {
        let null = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
        let schema = OneOfBuilder::new().item(refer::<T>(&mut self.schemas)).item(null);
        let body = RequestBodyBuilder::new().content(JSON, Content::new(Some(schema))).build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// An answer that is no error.
    #[must_use]
    pub fn answer(mut self, status: u16, answer: DocumentedAnswer) -> Self {
        self.responses.insert(status, answer.response.build());
        self.schemas.extend(answer.schemas);
        self
    }

    /// Adds what follows from who may ask, and from how it can fail.
    pub(crate) fn finish<C: Code>(mut self, access: Access, codes: &[C]) -> (OperationBuilder, Schemas) {
        for (status, codes) in by_status(codes) {
            self.responses.insert(status, failed(status, &codes));
        }
        let mut operation = self.operation;
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
