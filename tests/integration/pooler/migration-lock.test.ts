import { throughPooler } from '../../support/through-pooler.js';

await throughPooler(() => import('../lock/migration-lock.test.js'));
