package org.mobilenettf.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.util.Base64
import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import java.security.MessageDigest
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith

/** The phone must answer as the computer did that wrote the bundle. */
@RunWith(AndroidJUnit4::class)
class GoldenReplayTest {
    private val context = InstrumentationRegistry.getInstrumentation().targetContext
    private val golden = parseGolden(asset(GOLDEN_FILE).decodeToString())
    private val labels = parseLabels(asset(LABELS_FILE).decodeToString())

    @Test
    fun theModelIsTheOneOfTheBundle() {
        val digest = MessageDigest.getInstance("SHA-256").digest(asset(MODEL_FILE))
        assertEquals(golden.modelSha256, digest.joinToString("") { "%02x".format(it) })
    }

    @Test fun mediaPipeGivesTheGoldenScores() = replayOn(EngineKind.MEDIAPIPE)

    @Test fun liteRtGivesTheGoldenScores() = replayOn(EngineKind.LITERT)

    /** PNG has no loss, so an image of the model's size must give the very bytes. */
    @Test
    fun imagesDecodeToTheGoldenBytes() {
        for (image in golden.images) {
            val bytes = asset(image.file)
            val bitmap = BitmapFactory.decodeByteArray(bytes, 0, bytes.size)
            if (bitmap.width == golden.input.width && bitmap.height == golden.input.height) {
                assertArrayEquals(image.file, inputOf(image), packRgb(bitmap.colors()))
            }
        }
    }

    private fun replayOn(kind: EngineKind) {
        kind.open(context, golden.input, labels.size).use { engine ->
            val problems = replay(golden, labels) { engine.classify(bitmapOf(it)) }
            assertEquals("$kind", emptyList<String>(), problems)
        }
    }

    private fun bitmapOf(image: GoldenImage): Bitmap =
        Bitmap.createBitmap(
            unpackRgb(inputOf(image)),
            golden.input.width,
            golden.input.height,
            Bitmap.Config.ARGB_8888,
        )

    private fun inputOf(image: GoldenImage) = Base64.decode(image.inputBase64, Base64.DEFAULT)

    private fun asset(name: String) = context.assets.open(name).use { it.readBytes() }
}
