import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../support/pooler.js';

const DEBIAN = '/usr/lib/postgresql';
/** Patroni uses more of PostgreSQL's programs than the npm package has. */
const NEEDED = ['postgres', 'initdb', 'pg_ctl', 'pg_basebackup', 'pg_rewind', 'pg_controldata', 'pg_isready'];

/** The newest PostgreSQL that Debian's packages have installed. */
const postgresql = (existsSync(DEBIAN) ? readdirSync(DEBIAN) : [])
  .sort((a, b) => Number(b) - Number(a))
  .map((version) => join(DEBIAN, version, 'bin'))
  .find((folder) => NEEDED.every((name) => existsSync(join(folder, name))));

const found = { patroni: findProgram('patroni'), etcd: findProgram('etcd'), postgresql };

export const MISSING = Object.entries(found)
  .filter(([, path]) => path === undefined)
  .map(([name]) => name);

export const PROGRAMS = {
  patroni: found.patroni ?? '',
  etcd: found.etcd ?? '',
  /** The folder. */
  postgresql: found.postgresql ?? '',
};
