// What AWS's own verifier makes of tokens: `node judge.cjs MODULES CASE VERDICTS`.
//
// CASE is JSON: {pool, client, jwks, now_ms, tokens}. VERDICTS gets one character for each token: `1` where it is believed.

"use strict";

const fs = require("node:fs");
const path = require("node:path");

const [modules, input, output] = process.argv.slice(2);
const { CognitoJwtVerifier } = require(path.join(modules, "aws-jwt-verify"));

const { pool, client, jwks, now_ms: now, tokens } = JSON.parse(fs.readFileSync(input, "utf8"));
Date.now = () => now;

const verifier = CognitoJwtVerifier.create({ userPoolId: pool, tokenUse: "access", clientId: client });
verifier.cacheJwks(jwks);

const verdicts = tokens.map((token) => {
  try {
    verifier.verifySync(token);
    return "1";
  } catch {
    return "0";
  }
});
fs.writeFileSync(output, verdicts.join(""));
