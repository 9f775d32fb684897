/** Connections to databases of applications, each in a transaction that only reads and sees one state. */
import type { Connection } from "mysql2";
import type { Sql } from "postgres";
import type { Database } from "./reconcile-file.ts";

const connectSeconds = 10;

export type DatabaseAddress = Pick<Database, "connection" | "ssl">;

/** Rejects with the error of the driver. The caller ends the connection. */
export async function connectPostgres({ connection, ssl }: DatabaseAddress): Promise<Sql> {
  const { default: postgres } = await import("postgres");
  const tls = ssl?.isVerified
    ? { rejectUnauthorized: true, ...(ssl.ca === undefined ? {} : { ca: ssl.ca }) }
    : ssl?.mode;
  const sql = postgres(connection, {
    max: 1,
    onnotice: () => {},
    connect_timeout: connectSeconds,
    ...(tls === undefined ? {} : { ssl: tls }),
  });
  try {
    await sql.unsafe("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    return sql;
  } catch (error) {
    await sql.end({ timeout: 1 });
    throw error;
  }
}

/** Rows are arrays of texts. Rejects with the error of the driver. The caller ends the connection. */
export async function connectMysql({ connection: uri, ssl }: DatabaseAddress): Promise<Connection> {
  const { createConnection } = await import("mysql2");
  const connect = async (tls: object | undefined): Promise<Connection> => {
    const connection = createConnection({
      uri,
      connectTimeout: connectSeconds * 1000,
      rowsAsArray: true,
      disableEval: true,
      // The text form of each value, whatever its type is.
      typeCast: (field) => field.string(),
      ...(tls === undefined ? {} : { ssl: tls }),
    });
    await connection.promise().connect();
    return connection;
  };
  const tls = ssl && { rejectUnauthorized: ssl.isVerified, ...(ssl.ca === undefined ? {} : { ca: ssl.ca }) };
  const connection = await connect(tls).catch((error: unknown) => {
    const isWithoutTls = (error as { code?: string }).code === "HANDSHAKE_NO_SSL_SUPPORT";
    if (ssl?.mode !== "prefer" || !isWithoutTls) throw error;
    return connect(undefined);
  });
  try {
    await connection.promise().query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ");
    await connection.promise().query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
