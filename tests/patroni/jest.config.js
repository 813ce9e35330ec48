import base from '../../jest.config.js';

/** A Patroni cluster: it needs Debian's packages patroni, etcd-server and postgresql, and says so where one is missing. */
const config = {
  ...base,
  rootDir: '../..',
  testMatch: ['<rootDir>/tests/patroni/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  testTimeout: 300_000,
};
// Its servers are its own.
delete config.globalSetup;
delete config.globalTeardown;
export default config;
