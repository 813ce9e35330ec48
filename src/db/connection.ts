import type postgres from 'postgres';
import type { AuthWish } from './settings/required-auth.js';
import type { Address } from './socket.js';
import type { TlsWish } from './tls.js';

/** Where the database is, and which user connects. */
export interface ConnectionTarget extends TlsWish {
  hosts: readonly Address[];
  database: string;
  user: string;
  password: string | undefined;
  /** Where the hosts' own passwords come from. */
  passwordFile?: { path: string; unusable: string | null };
  auth: AuthWish;
  /** Passed on as libpq's `options`, for example what a hosted database needs to find the tenant. */
  options: string | undefined;
  /** The source of these, for messages. */
  optionsFrom?: string;
  /** The time limit of a connection to one host; undefined: none is set. */
  connectTimeoutMs?: number | undefined;
  /** The same for messages, without the password. */
  describe: string;
}

/** One connection to the server, used by one call at a time and never reconnected. */
export interface Connection {
  readonly sql: postgres.Sql;
  /** This end as the server names it on a direct connection: the port, or the name of the Unix socket. */
  readonly client: string;
  /** `TLSv1.3`, for example; null: the connection is not encrypted. */
  readonly tlsVersion: string | null;
  /** False once the socket is closed by either side. */
  readonly isOpen: () => boolean;
  /** The message with which the server or a pooler ended the connection. */
  readonly closeMessage: () => Error | undefined;
  /** Ends it at once: a peer that does not answer would delay a graceful end. */
  readonly destroy: () => void;
}
