// How long http-cache-semantics would use answers, as a shared cache and as a browser.
//
// Reads a JSON array on standard input: [{"url": "/…", "headers": {…}, "status": 200, "response": {…}}, …], names in lower case.
// Writes a JSON array: [{"storable": true, "ttl": 48.0, "private_ttl": 48.0, "swr": 30, "sie": 3600, "stale_after": 49}, …]; times in seconds.
'use strict'

const CachePolicy = require('http-cache-semantics')

/** A policy whose clock the caller sets. */
class At extends CachePolicy {
    now() {
        return At.time
    }
}
At.time = Date.now()

function judge(exchange) {
    const request = { url: exchange.url, method: 'GET', headers: exchange.headers }
    const response = { status: exchange.status, headers: exchange.response }
    At.time = Date.now()
    const of = shared => new At(request, response, { shared })
    const policy = of(true)
    const seconds = directive => Number((exchange.response['cache-control'] || '').match(`${directive}=(\\d+)`)?.[1] ?? 0)
    const ttl = policy.maxAge() - policy.age()
    const answer = {
        storable: policy.storable(),
        ttl,
        private_ttl: of(false).maxAge() - of(false).age(),
        swr: seconds('stale-while-revalidate'),
        sie: seconds('stale-if-error'),
        fresh_now: policy.satisfiesWithoutRevalidation(request),
    }
    const begun = At.time
    const after = elapsed => {
        At.time = begun + elapsed * 1000
    }
    after(ttl - 1)
    answer.fresh_a_second_before = policy.satisfiesWithoutRevalidation(request)
    after(ttl + 1)
    answer.fresh_a_second_after = policy.satisfiesWithoutRevalidation(request)
    answer.revalidates_with = policy.revalidationHeaders(request)['if-none-match'] ?? null
    answer.swr_just_after = policy.useStaleWhileRevalidate()
    after(ttl + answer.swr + 1)
    answer.swr_too_late = policy.useStaleWhileRevalidate()
    return answer
}

let text = ''
process.stdin.on('data', chunk => (text += chunk)).on('end', () => {
    process.stdout.write(JSON.stringify(JSON.parse(text).map(judge)))
})
