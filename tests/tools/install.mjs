/**
 * Installs the tools of tools.test.ts: those of npm into this folder, those of Debian on the machine. What cannot be
 * installed is said here, and its tests are skipped.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** A program, and the Debian packages that bring it with its driver for PostgreSQL. */
const DEBIAN = [
  { program: ['alembic', '--version'], packages: ['alembic', 'python3-psycopg2'] },
  {
    program: ['/usr/bin/python3', '-c', 'import django, psycopg2'],
    packages: ['python3-django', 'python3-psycopg2'],
  },
  { program: ['sqitch', '--version'], packages: ['sqitch', 'libdbd-pg-perl', 'postgresql-client'] },
  {
    program: ['ruby', '-e', "require 'active_record'; require 'pg'; require 'rake'"],
    packages: ['ruby-activerecord', 'ruby-pg', 'rake'],
  },
];

/** @param {string[]} command */
function succeeds([file = '', ...args], options = {}) {
  return spawnSync(file, args, { stdio: 'ignore', ...options }).status === 0;
}

const npm = ['npm', 'ci', '--no-audit', '--no-fund', '--prefer-offline'];
if (!succeeds(npm, { cwd: HERE, stdio: 'inherit' }))
  console.log('npm ci failed in tests/tools: its tools are skipped');

const missing = DEBIAN.filter(({ program }) => !succeeds(program));
const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
if (missing.length > 0 && succeeds([...asRoot, 'apt-get', '--version']))
  succeeds([...asRoot, 'apt-get', 'update', '-qq']);
for (const { program, packages } of missing) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  succeeds([...asRoot, 'apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
  if (!succeeds(program))
    console.log(`${packages.join(', ')} could not be installed: ${program[0]} is skipped`);
}
