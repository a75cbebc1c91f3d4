// An OpenID Connect provider with a few people: node server.js ISSUER PORT REDIRECT_URI...
// https://github.com/panva/node-oidc-provider
import { Provider } from "oidc-provider";

const [issuer, port, ...redirectUris] = process.argv.slice(2);
const groups = {
  anna: ["data-platform"],
  gita: ["github-ingest"],
  stan: ["stripe-ingest"],
  vera: ["analysts"],
  nils: ["somebody-else"],
};

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "ingest",
      client_secret: "client-secret-of-the-tests",
      redirect_uris: redirectUris,
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub", "groups"], email: ["email", "email_verified"], profile: ["name"] },
  pkce: { required: () => true },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, groups: groups[id] ?? [] }),
  }),
});
provider.listen(Number(port), "0.0.0.0", () => console.log("listening"));
