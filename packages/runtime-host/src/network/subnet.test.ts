import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatEgressRule, parseEgressRule, withoutRedundant } from './egress-rule.ts'
import { formatAddress, formatNetwork, type Network, parseNetwork } from './ipv4.ts'
import { addressInSlot, chooseSubnet, gatewayOf, SLOT_COUNT } from './subnet.ts'

const network = (text: string): Network => {
  const parsed = parseNetwork(text)
  assert.ok(parsed, text)
  return parsed
}

test('networks are read and written; bits past the prefix go', () => {
  assert.equal(formatNetwork(network('10.231.77.9/20')), '10.231.64.0/20')
  assert.equal(formatNetwork(network('255.255.255.255')), '255.255.255.255/32')
  for (const text of ['10.0.0', '10.0.0.256', '10.0.0.0/33', 'fe80::1', '10.0.0.0/8/8', '']) {
    assert.equal(parseNetwork(text), undefined, text)
  }
})

test('an instance has the same subnet every time, and another when somebody has that one', () => {
  const first = chooseSubnet('cr000001', [])
  assert.deepEqual(chooseSubnet('cr000001', []), first)
  assert.notDeepEqual(chooseSubnet('cr000002', []), first)
  const second = chooseSubnet('cr000001', [{ address: first.address + 77, prefix: 32 }])
  assert.notDeepEqual(second, first)
  assert.deepEqual(chooseSubnet('cr000001', [network('10.0.0.0/8'), network('192.0.2.0/24')]), first)
})

test('a pool that is all taken is said so', () => {
  assert.throws(() => chooseSubnet('cr000001', [network('10.224.0.0/12'), network('10.240.0.0/12')]), /in use/)
})

test('every slot has an address of its own inside the subnet', () => {
  const subnet = network('10.231.16.0/20')
  assert.equal(formatAddress(gatewayOf(subnet)), '10.231.16.1')
  assert.equal(formatAddress(addressInSlot(subnet, 0)), '10.231.16.2')
  assert.equal(formatAddress(addressInSlot(subnet, SLOT_COUNT - 1)), '10.231.31.255')
  assert.throws(() => addressInSlot(subnet, SLOT_COUNT), RangeError)
})

test('egress rules name what was wrong', () => {
  assert.equal(formatEgressRule(parseEgressRule(' 10.1.2.3:443 ')), '10.1.2.3/32:443')
  assert.equal(formatEgressRule(parseEgressRule('10.1.0.0/16')), '10.1.0.0/16')
  for (const text of ['example.com', '10.1.2.3:0', '10.1.2.3:x', '10.1.2.3:80:80', '::1']) {
    assert.throws(() => parseEgressRule(text), { message: new RegExp(`^"${text}" is not`) })
  }
})

test('rules that others cover are left out, so that no two elements overlap', () => {
  const rules = [
    '10.0.0.0/8:443',
    '10.1.0.0/16:443',
    '10.1.0.0/16:80',
    '192.168.0.0/16',
    '192.168.1.1:22',
    '10.0.0.0/8:443',
  ]
  assert.deepEqual(withoutRedundant(rules.map(parseEgressRule)).map(formatEgressRule), [
    '10.0.0.0/8:443',
    '10.1.0.0/16:80',
    '192.168.0.0/16',
  ])
})
