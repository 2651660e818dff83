// One person's way through the API with the generated client: `node dist/test/walk.js BASE_URL`.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Clarity, type Schemas } from "../src/client.js";

const [, , baseUrl] = process.argv;
assert(baseUrl, "the server's address is missing");

const clarity = new Clarity({ baseUrl });
const listening = new AbortController();

/** The data of an answer that must be a success. */
function good<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  assert(answer.data !== undefined, `${answer.response.url}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function sample(minute: number): Schemas["HealthKitSample"] {
  const at = `2026-03-01T08:${String(minute).padStart(2, "0")}:00+01:00`;
  return {
    identifier: randomUUID(),
    type: "HKQuantityTypeIdentifierHeartRate",
    value: 60 + minute,
    unit: "count/min",
    start_date: at,
    end_date: at,
    source_name: "Apple Watch",
  };
}

async function signUp(): Promise<string> {
  const body = { email: `${randomUUID()}@example.org`, password: `pass-${randomUUID()}`, display_name: "Anna" };
  const answer = good(await clarity.api.POST("/api/v1/auth/register", { body }));
  assert("access_token" in answer, "tokens at once, in the development profile");
  clarity.use(answer);
  const me = good(await clarity.api.GET("/api/v1/auth/me"));
  assert.equal(me.email, body.email);
  return me.user_id;
}

/** The first event of this name. */
async function heard(name: string): Promise<unknown> {
  for await (const event of clarity.events(listening.signal)) {
    if (event.event === name) return event.data;
  }
  throw new Error(`the stream ended without ${name}`);
}

async function upload(user_id: string): Promise<Schemas["HealthKitUploadResponse"]> {
  const body = { user_id, quantity_samples: [0, 1, 2].map(sample), upload_metadata: { time_zone: "Europe/Berlin" } };
  const params = { header: { "Idempotency-Key": randomUUID() } };
  const first = good(await clarity.api.POST("/api/v1/healthkit", { body, params }));
  assert.equal(first.receipts.accepted, 3);
  // Sent again, as after a lost connection: the same answer, and one upload.
  const second = good(await clarity.api.POST("/api/v1/healthkit", { body, params }));
  assert.deepEqual(second, first);
  return first;
}

async function processed(upload_id: string): Promise<void> {
  for (;;) {
    const params = { path: { upload_id } };
    const { status } = good(await clarity.api.GET("/api/v1/healthkit/status/{upload_id}", { params }));
    if (status === "completed") return;
    assert.notEqual(status, "failed");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function results(user_id: string): Promise<void> {
  const query = { start_date: "2026-03-01", end_date: "2026-03-01" };
  const { data: days } = good(await clarity.api.GET("/api/v1/metrics/daily", { params: { query } }));
  const [day] = days;
  assert.equal(day?.heart_rate_max.value, 62);
  assert.equal(day.heart_rate_max.unit, "/min");
  assert.equal(day.step_count.value, null);
  assert.equal(day.step_count.not_assessed, "no readings");
  const page = good(await clarity.api.GET("/api/v1/health-data", { params: { query: { limit: 2 } } }));
  assert.deepEqual(page.data.map((reading) => reading.value), [62, 61]);
  const cursor = page.pagination.next_cursor;
  assert(cursor);
  const rest = good(await clarity.api.GET("/api/v1/health-data", { params: { query: { limit: 2, cursor } } }));
  assert.deepEqual(rest.data.map((reading) => reading.value), [60]);
  const insight = good(await clarity.api.POST("/api/v1/insights", { body: { language: "en" } }));
  assert("data" in insight && insight.data.user_id === user_id);
}

async function problems(): Promise<void> {
  const body = { user_id: randomUUID(), quantity_samples: [sample(9)] };
  const { error, response } = await clarity.api.POST("/api/v1/healthkit", { body });
  assert.equal(response.status, 403);
  assert.equal(error?.type, "/problems/foreign-user");
}

/** An access token that has ended renews itself, once for all requests that meet its end. */
async function renewal(): Promise<void> {
  const before = clarity.tokens;
  assert(before);
  clarity.use({ ...before, access_token: "ended" });
  const answers = await Promise.all([1, 2, 3].map(() => clarity.api.GET("/api/v1/auth/me")));
  answers.forEach(good);
  assert.notEqual(clarity.tokens?.refresh_token, before.refresh_token);
}

async function signOut(): Promise<void> {
  const { access_token } = clarity.tokens ?? {};
  good(await clarity.api.POST("/api/v1/auth/logout"));
  const late = await fetch(`${baseUrl}/api/v1/auth/me`, { headers: { Authorization: `Bearer ${access_token}` } });
  assert.equal(late.status, 401);
  assert.equal((await clarity.api.GET("/api/v1/auth/me")).response.status, 401);
  assert.equal(clarity.tokens, undefined, "the refresh token ended as well");
}

const user_id = await signUp();
const completed = heard("upload.completed");
const { upload_id } = await upload(user_id);
await processed(upload_id);
assert.match(JSON.stringify(await completed), new RegExp(upload_id));
listening.abort();
await results(user_id);
await problems();
await renewal();
await signOut();
console.log("the walk ends well");
