import type postgres from 'postgres';
import type { AuthWish } from './settings/required-auth.js';
import type { Address } from './socket.js';
import type { TlsWish } from './tls.js';

/** Where the database is, and who we are to it. */
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
  /** Where these come from, for people. */
  optionsFrom?: string;
  /** How long a connection to one host may take; undefined: nothing is said. */
  connectTimeoutMs?: number | undefined;
  /** The same for people, without the password. */
  describe: string;
}

/** One connection to the server, used by one call at a time and never reconnected. */
export interface Connection {
  readonly sql: postgres.Sql;
  /** Our end as the server names it when nothing stands in between: our port, or the name of its Unix socket. */
  readonly client: string;
  /** False once the socket is closed, by whomever. */
  readonly isOpen: () => boolean;
  /** What the server, or a pooler, said when it ended the connection. */
  readonly farewell: () => Error | undefined;
  /** Ends it at once, whatever the peer does: a silent one would keep a graceful end waiting. */
  readonly destroy: () => void;
}
