// Not built in Convoy's own tests: no Android SDK there.
package convoy

import java.io.File
import kotlin.math.abs
import org.json.JSONObject

/** A picture of the conformance kit: the largest difference of a pixel from Python's, or why it was not read. */
class Outcome(val picture: String, val worst: Int?, val problem: String?)

/** Compares this device's decoding and the preprocessing with the kit that `convoy phone` made (its conformance/). */
fun compareKit(kit: File, spec: Preprocess): List<Outcome> {
    val cases = JSONObject(File(kit, "cases.json").readText()).getJSONArray("cases")
    return List(cases.length()) { compare(kit, cases.getJSONObject(it), spec) }
}

private fun compare(kit: File, case: JSONObject, spec: Preprocess): Outcome {
    val name = case.getString("name")
    return try {
        val found = preprocess(decode(File(kit, case.getString("image")).readBytes()), spec)
        val expected = readBytes(File(kit, case.getString("tensor")))
        Outcome(name, found.indices.maxOf { abs(value(found[it]) - value(expected[it])) }, null)
    } catch (problem: IllegalArgumentException) {
        Outcome(name, null, problem.message)
    }
}
