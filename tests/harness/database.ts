import postgres from 'postgres';
import { customAlphabet } from 'nanoid';

const uniqueSuffix = customAlphabet('0123456789abcdefghijklmnopqrstuvwxyz', 12);
/** Statements go out as they are: nothing that PostgreSQL notes is a test's output, and few connections are enough. */
const CONNECTION = { max: 5, onnotice: () => undefined } as const;

export interface TestRole {
  name: string;
  /** Connects as this role to the database that it was made for. */
  url: string;
}

export interface TestDatabase {
  /** Connects as the owner of everything (the server's superuser). */
  url: string;
  name: string;
  sql: postgres.Sql;
  /** A role of its own, without rights but to log in; `attributes` as in CREATE ROLE. It goes with the database. */
  createRole: (attributes?: string) => Promise<TestRole>;
  /** The URL, changed: another database, user, parameter. */
  urlWith: (change: (url: URL) => void) => string;
  /** Ends all connections, drops the database and its roles. */
  drop: () => Promise<void>;
}

/** The shared server's URL, as globalSetup has set it. */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL;
  if (url === undefined) throw new Error('TEST_DATABASE_URL is not set: run the tests with npm test');
  return url;
}

/** A fresh, empty database of the test file's own, on the shared server or on the one named by `server`. */
export async function createDatabase(server: string = serverUrl()): Promise<TestDatabase> {
  const name = `test_${uniqueSuffix()}`;
  await asAdministrator(server, (admin) => admin`CREATE DATABASE ${admin(name)}`);
  const urlWith = (change: (url: URL) => void) => {
    const url = new URL(server);
    url.pathname = `/${name}`;
    change(url);
    return url.href;
  };
  const url = urlWith(() => undefined);
  const sql = postgres(url, CONNECTION);
  const roles: string[] = [];

  return {
    url,
    name,
    sql,
    urlWith,
    createRole: async (attributes = '') => {
      const role = `role_${uniqueSuffix()}`;
      const password = uniqueSuffix();
      await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${password}' ${attributes}`);
      roles.push(role);
      return {
        name: role,
        url: urlWith((url) => {
          url.username = role;
          url.password = password;
        }),
      };
    },
    drop: async () => {
      await sql.end({ timeout: 1 });
      await asAdministrator(server, async (admin) => {
        await admin`DROP DATABASE IF EXISTS ${admin(name)} WITH (FORCE)`;
        for (const role of roles) await admin`DROP ROLE IF EXISTS ${admin(role)}`;
      });
    },
  };
}

async function asAdministrator(
  server: string,
  work: (admin: postgres.Sql) => PromiseLike<unknown>,
): Promise<void> {
  const admin = postgres(server, { ...CONNECTION, max: 1 });
  try {
    await work(admin);
  } finally {
    await admin.end({ timeout: 1 });
  }
}
