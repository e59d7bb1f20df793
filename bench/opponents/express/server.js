// A gateway as it is usually put together from Express and its packages: one process, no access log.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const { Readable } = require("node:stream");
const Ajv = require("ajv");
const express = require("express");
const { rateLimit } = require("express-rate-limit");
const httpProxy = require("http-proxy");
const jwt = require("jsonwebtoken");

const env = process.env;
const key = crypto.createPublicKey(fs.readFileSync(env.BENCH_KEY)); // parsed once, not for each token
const accepts = new Ajv().compile(JSON.parse(fs.readFileSync(env.BENCH_SCHEMA)));
const proxy = httpProxy.createProxyServer({
  target: env.BENCH_UPSTREAM,
  agent: new http.Agent({ keepAlive: true, maxSockets: 64 }),
});
proxy.on("error", (error, request, response) => response.writeHead(502).end());

function authenticate(request, response, next) {
  const header = request.headers.authorization || "";
  if (!header.startsWith("Bearer ")) return response.status(401).set("WWW-Authenticate", "Bearer").end();
  try {
    request.claims = jwt.verify(header.slice(7), key, {
      algorithms: ["ES256"],
      issuer: env.BENCH_ISSUER,
      audience: env.BENCH_AUDIENCE,
    });
  } catch {
    return response.status(401).set("WWW-Authenticate", 'Bearer error="invalid_token"').end();
  }
  next();
}

const requires = (scope) => (request, response, next) =>
  request.claims.scope.split(" ").includes(scope) ? next() : response.status(403).end();

const limit = rateLimit({
  windowMs: 60_000,
  limit: Number(env.BENCH_LIMIT),
  keyGenerator: (request) => request.claims.sub,
});

function hsts(request, response, next) {
  response.set("Strict-Transport-Security", env.BENCH_HSTS);
  next();
}

const body = express.json({ verify: (request, response, bytes) => (request.bytes = bytes) });

const validate = (request, response, next) => (accepts(request.body) ? next() : response.status(400).end());

const app = express();
app.disable("x-powered-by");
app.use(hsts, authenticate, limit);
app.get("/orders/:id", requires("orders:read"), (request, response) => proxy.web(request, response));
app.post("/orders", requires("orders:write"), body, validate, (request, response) =>
  proxy.web(request, response, { buffer: Readable.from([request.bytes]) }),
);

const server = http.createServer(app);
server.keepAliveTimeout = 600_000;
server.listen(Number(env.BENCH_PORT), "127.0.0.1", 4096);
