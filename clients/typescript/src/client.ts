// A client of the Clarity API. The types and paths in schema.ts are generated from the OpenAPI document by `make clients`;
// this file adds what a document cannot say: tokens that renew themselves, and the event stream.

import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";
export type Schemas = components["schemas"];

/** What a sign-in answers. Keep it where other programs cannot read it. */
export interface Tokens {
  access_token: string;
  refresh_token: string;
}

/** One event of the caller's data. */
export interface ClarityEvent {
  id: string;
  event: string;
  data: unknown;
}

export interface Options {
  /** Where the server is, such as `https://api.example.org`. */
  baseUrl: string;
  /** From an earlier sign-in. */
  tokens?: Tokens;
  /** Called whenever there are new tokens, so that they can be kept; `undefined` when they have ended. */
  onTokens?: (tokens: Tokens | undefined) => void;
}

export class Clarity {
  /** Every operation of the document, typed: `await clarity.api.GET("/api/v1/metrics/daily")`. */
  readonly api: Client<paths>;
  readonly #options: Options;
  #tokens: Tokens | undefined;
  #renewal: Promise<boolean> | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#tokens = options.tokens;
    this.api = createClient<paths>({ baseUrl: options.baseUrl, fetch: (request) => this.#fetch(request) });
  }

  get tokens(): Tokens | undefined {
    return this.#tokens;
  }

  /** Uses these tokens from now on. */
  use(tokens: Tokens | undefined): void {
    this.#tokens = tokens && { access_token: tokens.access_token, refresh_token: tokens.refresh_token };
    this.#options.onTokens?.(this.#tokens);
  }

  /** Trades the refresh token for new tokens; false, and signed out, where it is spent or has ended. */
  renew(): Promise<boolean> {
    // A refresh token is good for one use: two requests that meet the end of the same token must renew it once.
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #renew(): Promise<boolean> {
    const refresh_token = this.#tokens?.refresh_token;
    if (refresh_token === undefined) return false;
    const { data, response } = await this.api.POST("/api/v1/auth/refresh", { body: { refresh_token } });
    if (data) this.use(data);
    else if (response.status === 401) this.use(undefined);
    return data !== undefined;
  }

  async #fetch(request: Request): Promise<Response> {
    const again = request.clone();
    const answer = await fetch(this.#authorised(request));
    // What signs in and renews is refused for what it carries, and not for the token.
    if (answer.status !== 401 || this.#tokens === undefined || isPublic(request.url)) return answer;
    return (await this.renew()) ? fetch(this.#authorised(again)) : answer;
  }

  #authorised(request: Request): Request {
    if (this.#tokens && !isPublic(request.url)) {
      request.headers.set("Authorization", `Bearer ${this.#tokens.access_token}`);
    }
    return request;
  }

  /** The caller's events as they happen, or from behind `lastEventId`, until the signal ends it or the server does. */
  async *events(signal: AbortSignal, lastEventId?: string): AsyncGenerator<ClarityEvent> {
    const headers = new Headers({ Accept: "text/event-stream" });
    if (lastEventId !== undefined) headers.set("Last-Event-ID", lastEventId);
    const request = new Request(new URL("/api/v1/events", this.#options.baseUrl), { headers, signal });
    const answer = await this.#fetch(request);
    if (!answer.ok || answer.body === null) throw new Error(`events: ${answer.status}`);
    let text = "";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      text += chunk.value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const event = parsed(text.slice(0, end));
        text = text.slice(end + 2);
        if (event) yield event;
      }
    }
  }
}

const PUBLIC = ["/auth/register", "/auth/login", "/auth/challenge", "/auth/refresh"];

function isPublic(url: string): boolean {
  const path = new URL(url).pathname;
  return PUBLIC.some((name) => path.endsWith(name));
}

/** One block of a stream; `undefined` for comments, which only say that the stream is alive. */
function parsed(block: string): ClarityEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trimStart());
  }
  const data = fields.get("data");
  if (data === undefined) return undefined;
  return { id: fields.get("id") ?? "", event: fields.get("event") ?? "message", data: JSON.parse(data) };
}
