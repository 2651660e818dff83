//! The least that an HTTP server with a body can cost: actix that answers what it was sent, and nothing else.

use std::io::Write;

use actix_web::{App, HttpResponse, HttpServer, web};

/// More than the longest body of the benchmark.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let app = || {
        let echo = |body: web::Bytes| async { HttpResponse::Ok().body(body) };
        App::new().app_data(web::PayloadConfig::new(BODY_BYTES_MAX)).default_service(web::to(echo))
    };
    // As many threads as the server that it is compared with.
    let server = HttpServer::new(app).workers(2).bind("127.0.0.1:0")?;
    // The line that `clarity serve --json` writes.
    let address = server.addrs()[0];
    writeln!(std::io::stdout(), r#"{{"listening":"{address}"}}"#)?;
    server.run().await
}
