/** Why a request over TLS failed, and what to do, by the codes of `fetch`. */

/** For messages: what the client trusts, and how to change what it trusts and presents. */
export interface TlsClientNames {
  /** ``the file `x.pem` of `tlsCa` `` */
  readonly trusted: string;
  /** How to name another authority: ``in `tlsCa` ``. */
  readonly authority: string;
  /** How to present a certificate: ``in `tlsCert` ``. */
  readonly certificate: string;
}

/** The problem and its remedy; undefined if TLS is not the reason. */
export function certificateProblem(url: string, error: unknown, names: TlsClientNames): string | undefined {
  const { code } = error as { readonly code?: unknown };
  if (typeof code !== "string") return undefined;
  const isTls = url.startsWith("https:");
  const problem = isTls ? (problems[code] ?? (foreign.test(code) ? ofForeign : undefined)) : plainProblems[code];
  return problem?.(names).replace(";", ` (${code});`);
}

/** Whether the client has refused the certificate of the other side, so that it has sent nothing. */
export function isRefusedCertificate(error: unknown): boolean {
  const code = String((error as { readonly code?: unknown }).code);
  return foreign.test(code) || refused.includes(code);
}

type Describe = (names: TlsClientNames) => string;

const refused = ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "ERR_TLS_CERT_ALTNAME_INVALID"];
const foreign = /SELF_SIGNED|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)|CERT_(?:UNTRUSTED|SIGNATURE_FAILURE)|INVALID_CA/;

const ofForeign: Describe = ({ trusted, authority }) =>
  `its certificate is from another authority than this side trusts, which is ${trusted}; name the authority of that certificate ${authority}, or give that node a certificate of a trusted one`;

const problems: Readonly<Record<string, Describe>> = {
  CERT_HAS_EXPIRED: () => "its certificate has expired; renew the file of its `tlsCert`",
  CERT_NOT_YET_VALID: () => "its certificate is not valid yet; compare the clocks of both machines",
  ERR_TLS_CERT_ALTNAME_INVALID: () =>
    "its certificate is for other hosts; use one of these in the URL, or get a certificate with this host",
  EPROTO: ({ certificate }) =>
    `the TLS handshake failed; use \`http://\` if there is no TLS, or name a certificate for its \`nodePort\` ${certificate}`,
  ECONNRESET: ({ certificate }) =>
    `it has closed the connection; if it is a \`nodePort\`, it does not accept the certificate ${certificate}`,
};

const plainProblems: Readonly<Record<string, Describe>> = {
  ECONNRESET: () => "it has closed the connection; if that node has `tlsCert`, its URL begins with `https://`",
};
