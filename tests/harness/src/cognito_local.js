// cognito-local with what its own lacks: `node cognito_local.js LIB FOLDER`, in FOLDER, with PORT and HOST set.
//
// - It ends when whoever started it has ended, and removes FOLDER.
// - Every code that it mails is a line of JSON in FOLDER/mail: `{"to": ..., "code": ...}`.
// - Its clock is moved by `POST /_clock?by_ms=N`, which answers by how many milliseconds it is ahead.
// - Access tokens name their sign-in (`origin_jti`), as a pool's do.
// - Answers with tokens say when the access token ends.
// - A sign-in that ends with the answer to a challenge can be refreshed.
// - A disabled account is not let in, and who confirmed their address has a verified one.
// - ResendConfirmationCode, AdminUserGlobalSignOut, GetTokensFromRefreshToken (which rotates) and an address that is taken.

"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { randomUUID } = require("node:crypto");

const [lib, folder] = process.argv.slice(2);
const from = (name) => require(path.join(lib, name));

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) {
    fs.rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  }
}, 500);

let aheadMs = 0;
const RealDate = Date;
global.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(RealDate.now() + aheadMs);
    else super(...given);
  }
  static now() {
    return RealDate.now() + aheadMs;
  }
};

const jwt = require(require.resolve("jsonwebtoken", { paths: [lib] }));
const errors = from("errors");
const { Targets } = from("targets/targets");
const { JwtTokenGenerator } = from("services/tokenGenerator");
const { UserPoolServiceImpl, attribute, attributeValue, attributesAppend } = from("services/userPoolService");
const { ConsoleMessageSender } = from("services/messageDelivery/consoleMessageSender");

ConsoleMessageSender.prototype.sendToConsole = async (_ctx, _user, to, { __code: code }) => {
  fs.appendFileSync(path.join(folder, "mail"), JSON.stringify({ to, code }) + "\n");
};

// The generator signs all three tokens before it waits for anything, so this is of one sign-in at a time.
let origin;
const sign = jwt.sign;
jwt.sign = (claims, ...rest) => {
  if (claims.token_use === "access") return sign({ ...claims, origin_jti: origin }, ...rest);
  if (claims.token_use === undefined) return sign({ ...claims, jti: origin, nonce: randomUUID() }, ...rest);
  return sign(claims, ...rest);
};
const generate = JwtTokenGenerator.prototype.generate;
JwtTokenGenerator.prototype.generate = function (ctx, ...rest) {
  origin = ctx.origin ?? randomUUID();
  return generate.call(this, ctx, ...rest);
};
const byRefreshToken = UserPoolServiceImpl.prototype.getUserByRefreshToken;
UserPoolServiceImpl.prototype.getUserByRefreshToken = async function (ctx, token) {
  const user = await byRefreshToken.call(this, ctx, token);
  const claims = user && jwt.decode(token);
  if (user && !user.Enabled) throw new errors.NotAuthorizedError("User is disabled.");
  if (claims && claims.exp * 1000 <= Date.now()) return null;
  if (claims) ctx.origin = claims.jti;
  return user;
};

const wrap = (name, around) => {
  const inner = Targets[name];
  Targets[name] = (services) => around(services, inner(services));
};
const pool = (services, ctx, req) =>
  req.UserPoolId
    ? services.cognito.getUserPool(ctx, req.UserPoolId)
    : services.cognito.getUserPoolForClientId(ctx, req.ClientId);

const timed = (answer) => {
  const result = answer.AuthenticationResult;
  const claims = result && jwt.decode(result.AccessToken);
  if (claims) result.ExpiresIn = claims.exp - claims.iat;
  return answer;
};

wrap("InitiateAuth", (services, inner) => async (ctx, req) => {
  const { USERNAME, PASSWORD } = req.AuthParameters ?? {};
  const user = USERNAME && (await (await pool(services, ctx, req)).getUserByUsername(ctx, USERNAME));
  if (user && user.Password === PASSWORD && !user.Enabled) throw new errors.NotAuthorizedError("User is disabled.");
  return timed(await inner(ctx, req));
});

wrap("RespondToAuthChallenge", (services, inner) => async (ctx, req) => {
  const answer = timed(await inner(ctx, req));
  if (!answer.AuthenticationResult) return answer;
  const users = await pool(services, ctx, req);
  const user = await users.getUserByUsername(ctx, req.ChallengeResponses.USERNAME);
  await users.storeRefreshToken(ctx, answer.AuthenticationResult.RefreshToken, user);
  return answer;
});

wrap("ConfirmSignUp", (services, inner) => async (ctx, req) => {
  const answer = await inner(ctx, req);
  const users = await pool(services, ctx, req);
  const user = await users.getUserByUsername(ctx, req.Username);
  const Attributes = attributesAppend(user.Attributes, attribute("email_verified", "true"));
  await users.saveUser(ctx, { ...user, Attributes });
  return answer;
});

wrap("AdminUpdateUserAttributes", (services, inner) => async (ctx, req) => {
  const email = attributeValue("email", req.UserAttributes);
  const taken = email && (await (await pool(services, ctx, req)).getUserByUsername(ctx, email));
  if (taken && taken.Username !== req.Username) throw new errors.CognitoError("AliasExistsException", "taken");
  return inner(ctx, req);
});

Targets.ResendConfirmationCode = (services) => async (ctx, req) => {
  const users = await pool(services, ctx, req);
  const user = await users.getUserByUsername(ctx, req.Username);
  if (!user) throw new errors.UserNotFoundError();
  if (user.UserStatus !== "UNCONFIRMED") throw new errors.InvalidParameterError("User is already confirmed.");
  const ConfirmationCode = services.otp();
  await users.saveUser(ctx, { ...user, ConfirmationCode });
  const Destination = attributeValue("email", user.Attributes);
  const details = { AttributeName: "email", DeliveryMedium: "EMAIL", Destination };
  const source = "ResendCode";
  await services.messages.deliver(ctx, source, req.ClientId, users.options.Id, user, ConfirmationCode, {}, details);
  return { CodeDeliveryDetails: details };
};

Targets.AdminUserGlobalSignOut = (services) => async (ctx, req) => {
  const users = await pool(services, ctx, req);
  const user = await users.getUserByUsername(ctx, req.Username);
  if (!user) throw new errors.UserNotFoundError();
  await users.saveUser(ctx, { ...user, RefreshTokens: [] });
  return {};
};

Targets.GetTokensFromRefreshToken = (services) => async (ctx, req) => {
  const users = await pool(services, ctx, req);
  const user = await users.getUserByRefreshToken(ctx, req.RefreshToken);
  if (!user) throw new errors.CognitoError("RefreshTokenReuseException", "spent");
  const app = await services.cognito.getAppClient(ctx, req.ClientId);
  const groups = await users.listUserGroupMembership(ctx, user);
  const tokens = await services.tokenGenerator.generate(ctx, user, groups, app, undefined, "RefreshTokens");
  const others = user.RefreshTokens.filter((token) => token !== req.RefreshToken);
  await users.saveUser(ctx, { ...user, RefreshTokens: [...others, tokens.RefreshToken] });
  return timed({ AuthenticationResult: tokens });
};

// The clock is asked for before cognito-local sees the request.
const createServer = http.createServer;
http.createServer = (app) =>
  createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname !== "/_clock") return app(request, response);
    aheadMs += Number(url.searchParams.get("by_ms"));
    response.end(String(aheadMs));
  });

require(path.join(lib, "bin/start"));
