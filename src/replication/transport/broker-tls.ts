/** What a node shows to external brokers over TLS, and whom it trusts there. */
import type { Config } from "../../config/config.ts";
import { readTlsFiles, type TlsFiles } from "../tls-files.ts";

/** AppError `conflict` names the setting whose file can't be read or used. */
export function brokerTls({ brokerCa: ca, brokerCert: cert, brokerKey: key }: Config): TlsFiles {
  return readTlsFiles("broker", { ca, cert, key });
}
