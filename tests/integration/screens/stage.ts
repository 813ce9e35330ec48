/** Where a screen is made: a server, the database `app`, a project with knex migrations, and a shell that finds both. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { ROOT } from '../../support/documents.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, CLI, NODE, startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { execute } from '../e2e/installed-package.js';

const HOST_NAME = fileURLToPath(new URL('../../support/fixtures/host-name.cjs', import.meta.url));
const PROGRAM = ['--require', HOST_NAME, CLI];
/** `app` migrates, `shop` is an application, `lock_owner` owns a hardened lock. */
const ROLES = ['app', 'shop', 'lock_owner'];

export class Stage {
  #server: EmbeddedServer;
  #project = '';
  #sessions: postgres.Sql[] = [];
  #running: RunningCli[] = [];

  private constructor(server: EmbeddedServer) {
    this.#server = server;
  }

  static async open(): Promise<Stage> {
    const stage = new Stage(await startServer());
    const sql = stage.sessionOf('postgres', 'a test', 'postgres');
    for (const role of ROLES) await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${role}'`);
    await stage.endClients();
    return stage;
  }

  get majorVersion(): number {
    return this.#server.majorVersion;
  }

  /** The database `app`, owned by the role `app`, and the project. */
  async set(): Promise<void> {
    const sql = this.sessionOf('postgres', 'a test', 'postgres');
    await sql.unsafe('CREATE DATABASE app OWNER app');
    this.#project = mkdtempSync(join(tmpdir(), 'migrate-lock-screen-'));
    cpSync(join(ROOT, 'examples', 'knex'), this.#project, { recursive: true });
    this.package({});
    symlinkSync(join(ROOT, 'node_modules'), join(this.#project, 'node_modules'));
    mkdirSync(join(this.#project, 'bin'));
    this.program('migrate-lock', `exec '${NODE}' ${PROGRAM.map((word) => `'${word}'`).join(' ')} "$@"`);
    this.program('knex', 'exec node node_modules/knex/bin/cli.js "$@"');
  }

  async clear(): Promise<void> {
    for (const run of this.#running.splice(0)) {
      run.kill('SIGTERM');
      await run.done;
    }
    await this.endClients();
    rmSync(this.#project, { recursive: true });
    const sql = this.sessionOf('postgres', 'a test', 'postgres');
    await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'`;
    await sql.unsafe('DROP DATABASE app');
    await this.endClients();
    await assertNothingLeft();
  }

  close(): Promise<void> {
    return this.#server.stop();
  }

  urlOf(role: string, database = 'app'): string {
    const url = new URL(this.#server.urlOf(database));
    if (role !== 'postgres') url.username = url.password = role;
    return url.href;
  }

  /** What a shell shows of this line, as a document writes it: `$ ` and the line, then its output. */
  async show(line: string, env: Record<string, string> = {}): Promise<string> {
    const { stdout } = await execute(
      ['sh', '-c', `exec 2>&1\n${line}`],
      this.#project,
      this.#environment(env),
    );
    return `$ ${line}\n${stdout.trimEnd()}`;
  }

  /** A line without output, which must succeed. */
  async does(line: string, env: Record<string, string> = {}): Promise<void> {
    const { code, stderr } = await execute(['sh', '-c', line], this.#project, this.#environment(env));
    if (code !== 0) throw new Error(`${line}: exit code ${code}\n${stderr}`);
  }

  surroundings(): { cwd: string; env: Record<string, string> } {
    return { cwd: this.#project, env: this.#environment({}) };
  }

  /** A run that goes on. */
  start(...args: string[]): RunningCli {
    const run = startCli(args, { program: PROGRAM, ...this.surroundings() });
    this.#running.push(run);
    return run;
  }

  /** A session of a client of the database, with a transaction that stays open if the statement begins one. */
  async client(role: string, name: string, statement: string): Promise<void> {
    await this.sessionOf(role, name).unsafe(statement);
  }

  /** Clients that wait, each in a session of its own. */
  queue(role: string, name: string, statement: string, many: number): void {
    for (let at = 0; at < many; at++)
      void this.sessionOf(role, name)
        .unsafe(statement)
        .catch(() => undefined);
  }

  sessionOf(role: string, name: string, database = 'app'): postgres.Sql {
    const sql = postgres(this.urlOf(role, database), {
      max: 1,
      fetch_types: false,
      onnotice: () => undefined,
      connection: { application_name: name },
    });
    this.#sessions.push(sql);
    return sql;
  }

  /** Another migration of the project, which runs these statements, without a transaction on request. */
  migration(name: string, statements: string, { transaction = true } = {}): void {
    writeFileSync(
      join(this.#project, 'migrations', `20260126090000_${name}.js`),
      `export const config = { transaction: ${transaction} };
export const up = (knex) => knex.raw(${JSON.stringify(statements)});
export const down = () => undefined;\n`,
    );
  }

  package(scripts: Record<string, string>): void {
    writeFileSync(join(this.#project, 'package.json'), JSON.stringify({ type: 'module', scripts }));
  }

  program(name: string, script: string): void {
    writeFileSync(join(this.#project, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** How many sessions wait for a lock in the database. */
  async untilWaiting(many: number): Promise<void> {
    const sql = this.sessionOf('postgres', 'a test');
    await waitFor(`${many} sessions that wait`, async () => {
      const [row] = await sql<{ many: number }[]>`
        SELECT count(DISTINCT pid)::integer AS many FROM pg_locks WHERE NOT granted`;
      return row?.many === many;
    });
  }

  async untilAsleep(name: string): Promise<void> {
    const sql = this.sessionOf('postgres', 'a test');
    await waitFor(`the session of ${name}`, async () => {
      const [row] = await sql`
        SELECT 1 FROM pg_stat_activity WHERE application_name = ${name} AND wait_event = 'PgSleep'`;
      return row;
    });
  }

  /** PostgreSQL does not stop the statement of a client that has gone. */
  async terminate(name: string): Promise<void> {
    await this.sessionOf('postgres', 'a test')`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ${name}`;
  }

  async endClients(): Promise<void> {
    await Promise.all(this.#sessions.splice(0).map((sql) => sql.end({ timeout: 0 })));
  }

  #environment(added: Record<string, string>): Record<string, string> {
    return {
      PATH: [join(this.#project, 'bin'), process.env.PATH].join(delimiter),
      DATABASE_URL: this.urlOf('app'),
      OWNER_DATABASE_URL: this.urlOf('lock_owner'),
      TEST_HOST_NAME: 'web-1',
      ...added,
    };
  }
}
