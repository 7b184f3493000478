package org.mobilenettf.app

import android.content.Context
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

/** Plain LiteRT on the CPU: pixels in, probabilities out, nothing hidden. */
class LiteRtEngine(
    context: Context,
    private val input: ModelInput,
    private val classes: Int,
) : Engine {
    private val model =
        CompiledModel.create(context.assets, MODEL_FILE, CompiledModel.Options(Accelerator.CPU))
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    override fun classify(image: Bitmap): FloatArray {
        val scaled = image.scaledTo(input.width, input.height)
        val rgb = packRgb(scaled.colors())
        if (scaled !== image) scaled.recycle()
        // writeInt8 copies bytes as they are; that the model reads them as unsigned is right.
        if (input.isFloat) inputs[0].writeFloat(toFloats(rgb)) else inputs[0].writeInt8(rgb)
        model.run(inputs, outputs)
        val probabilities = outputs[0].readFloat()
        check(probabilities.size == classes) {
            "the model must give $classes probabilities. Received: ${probabilities.size}"
        }
        return probabilities
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }
}
