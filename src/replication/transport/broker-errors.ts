/** Why there is no connection to a broker, with what to look at: TLS and MQTT name what they noticed, seldom what is to be done. */

/** What an error says, and the cure where one is known. */
export function explainBrokerError(error: Error): string {
  const cure = fixFor(error);
  return cure === undefined ? error.message : `${error.message.trimEnd()} (${cure})`;
}

function fixFor(error: Error & { readonly code?: unknown }): string | undefined {
  if (typeof error.code === "number") return error.code > 0 ? fixes.get(error.code) : undefined;
  // What the other side noticed has no code of its own: it comes as the name of a TLS alert.
  const alert = tlsAlertFixes.find(([pattern]) => pattern.test(error.message));
  return alert?.[1] ?? (typeof error.code === "string" ? fixes.get(error.code) : undefined);
}

const unknownAuthority =
  "the broker's certificate comes from nobody who is trusted here: `brokerCa` names its authority";
const wrongLogin = "check `brokerUsername` and `brokerPassword`, or the name in `brokerCert`";
const missingPermission = "the broker's access rules do not permit it: check its ACL for this user";
const ownCertificate =
  "the broker does not accept the certificate in `brokerCert`: check by whom it is issued, and till when";

/** By codes of TLS and sockets, and by reasons of MQTT: below 128 those of 3.1.1. */
const fixes = new Map<string | number, string>([
  ["SELF_SIGNED_CERT_IN_CHAIN", unknownAuthority],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", unknownAuthority],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", unknownAuthority],
  ["CERT_HAS_EXPIRED", "the broker's certificate has to be renewed"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the host in `broker` has to be one of those that the broker's certificate names"],
  ["ECONNREFUSED", "nobody listens there"],
  ["ENOTFOUND", "there is no such host"],
  ["ECONNRESET", "a listener that expects TLS does this to `mqtt://`: would `mqtts://` be right?"],
  [4, wrongLogin],
  [5, wrongLogin],
  [134, wrongLogin],
  [135, missingPermission],
]);

const tlsAlertFixes: readonly (readonly [RegExp, string])[] = [
  [
    /ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/,
    "the broker wants a client certificate: set `brokerCert` and `brokerKey`",
  ],
  [/ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+)/, ownCertificate],
  [/WRONG_VERSION_NUMBER/, "nobody speaks TLS there: would `mqtt://` be right?"],
];
